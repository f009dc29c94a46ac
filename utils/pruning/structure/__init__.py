"""Whole branches, detection scales and classes that go."""
