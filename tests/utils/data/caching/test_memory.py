"""Photos in memory: one copy on a machine, and what happens where there is none."""

import re
import subprocess
import sys

import numpy as np
import pytest

from utils.data.caching.memory import OWN, SHORT, PhotoMemory, in_memory
from utils.files.paths import ROOT

SIZES = [(2, 3), (4, 5), (2, 3)]
OTHER = """
import sys
from pathlib import Path
from utils.data.caching.memory import PhotoMemory
memory = PhotoMemory(list("abcdefgh"), [(1000, 1000)] * 8)
memory.open(sys.argv[1])
print(*[int(memory[index].sum()) for index in range(8)])
print(Path("/proc/self/smaps").read_text())
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems share no memory without a name")


def shade(index):
    """Return an image of one grey for each index."""
    return np.full((*SIZES[index], 3), index + 1, np.uint8)


def filled(**options):
    """Return the memory of three paths, of which two are equal."""
    return in_memory(PhotoMemory(["a", "b", "a"], SIZES), options.pop("load", shade), progress=False, **options)


def test_equal_paths_are_loaded_once_and_nobody_writes_into_an_image():
    loaded = []
    memory = filled(load=lambda index: loaded.append(index) or shade(index), workers=2)
    assert sorted(loaded) == [0, 1] and memory[0].tolist() == memory[2].tolist() == shade(0).tolist()
    assert np.shares_memory(memory[0], memory[2]) and not np.shares_memory(memory[0], memory[1])
    with pytest.raises(ValueError, match="read-only"):
        memory[1][0, 0] = 0


def test_an_image_that_cannot_be_loaded_is_none():
    memory = filled(load=lambda index: None if index else shade(index))
    assert memory[1] is None and memory[2].tolist() == shade(0).tolist()


def test_images_that_do_not_fit_are_not_cached_in_any_process(capsys):
    large = PhotoMemory(["a"], [(10**7, 10**7)])
    assert in_memory(large, pytest.fail) is None and "not cached" in capsys.readouterr().err
    assert filled(load=pytest.fail, once=lambda make: SHORT) is None


@pytest.mark.parametrize("told", [OWN, "/proc/0/fd/3"], ids=["none to share", "of a process that is not seen"])
def test_without_shared_memory_a_process_has_its_own(told):
    assert filled(once=lambda make: told)[1].tolist() == shade(1).tolist()


@linux
def test_the_second_process_of_a_machine_loads_nothing_and_sees_the_same():
    names = []
    first = filled(once=lambda make: names.append(make()) or names[0])
    second = filled(load=pytest.fail, once=lambda make: names[0])
    assert all(np.array_equal(first[index], second[index]) for index in range(3))


@linux
def test_another_process_takes_no_memory_of_its_own_for_the_images():
    memory = PhotoMemory(list("abcdefgh"), [(1000, 1000)] * 8)
    in_memory(memory, lambda index: np.full((1000, 1000, 3), index, np.uint8), progress=False)
    command = [sys.executable, "-c", OTHER, memory.name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    sums, areas = done.stdout.split("\n", 1)
    assert sums.split() == [str(3000000 * index) for index in range(8)]
    area = areas[areas.index("/memfd:photos") :]
    private, shared = (sum(map(int, re.findall(rf"{kind}_\w+: *(\d+) kB", area)[:2])) for kind in ("Private", "Shared"))
    assert shared >= 23000 and private <= 100
