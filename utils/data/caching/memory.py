"""Fitted photos in one block of memory, which all processes of a machine look at."""

import mmap
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.scanning.scan import each
from utils.progress import track

MARGIN = 0.8  # share of the free memory that cached images may take
SHORT, OWN = "short", "own"  # what others read in place of the name of a block: no memory, none that can be shared

Once = Callable[[Callable[[], str]], str]  # calls a function in one process of a machine, returns its result in all


def alone(make: Callable[[], str]) -> str:
    """Return what `make` returns: the Once of a single process."""
    return make()


class PhotoMemory:
    """Images uint8 [h, w, 3] in one block, as far as they could be loaded; equal paths have one image.

    The block has no name in the file system: it goes with the last process that looks at it, however that ends.
    Others find it among the open files of the process that made it.
    """

    def __init__(self, paths: Sequence[str], sizes: Any) -> None:
        """sizes: h, w of each image, int [n, 2]."""
        slots: dict[str, int] = {}
        self._slots = np.array([slots.setdefault(path, len(slots)) for path in paths], np.int64)
        self._first = np.unique(self._slots, return_index=True)[1]
        self._sizes = np.asarray(sizes, np.int64).reshape(-1, 2)[self._first]
        self._starts = np.concatenate([[0], np.cumsum(3 * self._sizes.prod(1))])
        self.needed = int(self._starts[-1]) + len(self._sizes)  # bytes: pixels, and whether each image is there
        self.name = ""  # what others open it by

    def open(self, name: str = "") -> None:
        """Take a new block, or the one that another process made. Raises OSError where that cannot be seen."""
        self._file, block = _block(self.needed, name)
        self.name = f"/proc/{os.getpid()}/fd/{self._file.fileno()}" if self._file else OWN
        self._pixels, self._there = np.split(np.frombuffer(block, np.uint8), [self._starts[-1]])

    def fill(self, load: Callable[[int], np.ndarray | None], workers: int, progress: bool) -> None:
        """Put in load(index) of each image, loaded once where it is there many times."""

        def put(slot: int) -> None:
            """Load one image."""
            image = load(int(self._first[slot]))
            if image is not None:
                self._image(slot)[:] = image
                self._there[slot] = 1

        number = len(self._first)
        for _ in track(each(put, number, workers), "caching", number, shown=progress):
            pass
        self._pixels.flags.writeable = False

    def __getitem__(self, index: int) -> np.ndarray | None:
        """Return an image, which cannot be written to, or None where it could not be loaded."""
        slot = self._slots[index]
        return self._image(slot) if self._there[slot] else None

    def _image(self, slot):
        return self._pixels[self._starts[slot] : self._starts[slot + 1]].reshape(*self._sizes[slot], 3)


def _block(size, name):
    """Return (the file that others can open, None where they cannot; size bytes of memory)."""
    if name:
        with open(name, "rb") as file:
            return None, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    if sys.platform != "linux":
        return None, mmap.mmap(-1, size)
    file = open(os.memfd_create("photos"), "r+b", buffering=0)  # noqa: SIM115  (it is open as long as the block is)
    file.truncate(size)
    return file, mmap.mmap(file.fileno(), size)


def in_memory(
    memory: PhotoMemory,
    load: Callable[[int], np.ndarray | None],
    workers: int = 1,
    progress: bool = True,
    once: Once = alone,
) -> PhotoMemory | None:
    """Return a PhotoMemory filled with load(index) of each image; None where memory is short, which is said on stderr.

    once: one process of a machine loads the images, and the others look at them.
    """

    def make() -> str:
        """Fill the block; return its name, or SHORT."""
        free = free_memory()
        if free is not None and memory.needed > MARGIN * free:
            amounts = f"{memory.needed / 1e9:.1f} GB of {free / 1e9:.1f} GB free memory"
            print(f"images need {amounts}: not cached", file=sys.stderr)
            return SHORT
        memory.open()
        memory.fill(load, workers, progress)
        return memory.name

    name = once(make)
    if name == SHORT or memory.name:
        return memory if memory.name else None
    if name != OWN:
        with suppress(OSError):  # the processes do not see each other's memory
            memory.open(name)
            return memory
    return in_memory(memory, load, workers, progress)


def free_memory() -> int | None:
    """Return the bytes that can be taken without swapping, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
