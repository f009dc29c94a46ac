"""Memory that a training step frees is kept for the next one, which needs as much again.

By default glibc gives it back to the kernel, which has to clear the same pages anew in each step.
"""

import ctypes
import sys
from typing import Any

import torch

from utils.training.loop import Hook
from utils.training.run import Run

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # parameters of mallopt in malloc.h
LARGEST = 32 << 20  # bytes of a block that can be kept; glibc takes no more, and its own limit grows to this
NEVER = -1


class KeptMemory(Hook):
    """Lets the C library keep what is freed until the run is over; changes no numbers.

    Before a backward pass a step holds most of its memory. What is free at that moment lies in gaps that nothing fits,
    so it goes back to the kernel: otherwise the peak would grow.
    """

    def __init__(self, libc: Any) -> None:
        self.libc = libc

    def start(self, run: Run) -> None:
        """Set the limits of malloc; one that is refused stays as it is."""
        self.libc.mallopt(MMAP_THRESHOLD, LARGEST)
        self.libc.mallopt(TRIM_THRESHOLD, NEVER)

    def extra_loss(self, run: Run, images: torch.Tensor, raw: list[torch.Tensor]) -> None:
        """Give back the gaps; add no loss."""
        self.libc.malloc_trim(0)

    def finish(self, run: Run) -> None:
        """Give back all that is free, and set the limit that glibc's own would grow to."""
        self.libc.mallopt(TRIM_THRESHOLD, 2 * LARGEST)
        self.libc.malloc_trim(0)


def kept_memory(device: torch.device, libc: Any = None) -> list[Hook]:
    """Return the hook that keeps memory for training on a device; none on a GPU, nor without glibc.

    libc: the C library; that of this process by default. Those of macOS, Windows and Alpine have no mallopt.
    """
    libc = libc or (ctypes.CDLL(None) if sys.platform == "linux" else None)
    able = device.type == "cpu" and hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")
    return [KeptMemory(libc)] if able else []
