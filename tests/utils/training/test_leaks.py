"""Nothing piles up over the epochs of a training."""

import sys

import pytest

from benchmarks.leaks import ALLOWED, watched


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_files_and_threads_stay_as_they_are(tmp_path):
    footprint = watched(tmp_path, epochs=12, workers=0)
    memory, files, threads = footprint.growth(first=4)
    assert len(footprint.rows) == 12
    assert (files, threads) == (0, 0) and memory < 2 * ALLOWED  # the first epochs still fill the allocator's pools
