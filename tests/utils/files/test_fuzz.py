"""Noise for every reader of files: a few seconds of benchmarks/fuzz.py."""

from collections import Counter

from benchmarks.fuzz import fuzz


def test_noise_is_taken_or_refused():
    tried = list(fuzz(seconds=3, seed=0))
    assert [wrong for _, wrong in tried if wrong] == []
    assert len(Counter(reader for reader, _ in tried)) == 7
