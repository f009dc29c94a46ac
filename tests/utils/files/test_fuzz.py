"""Noise for every reader of files: a few seconds of benchmarks/fuzz.py."""

from benchmarks.fuzz import fuzz


def test_noise_is_taken_or_refused():
    tried = list(fuzz(seconds=3, seed=0))
    assert [(content, wrong) for _, content, wrong in tried if wrong] == []
    assert len({reader.name for reader, _, _ in tried}) == 9
