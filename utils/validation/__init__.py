"""val.py: how good a detector is."""
