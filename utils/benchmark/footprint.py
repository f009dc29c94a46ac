"""What running a detector takes besides time: memory and energy, where the machine tells."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from utils.runtimes.runtimes import load_detector

RUNS = 3
ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")  # of the processor, counted by itself
WRAP = "max_energy_range_uj"  # beside it: where it begins anew


def peak_memory(path: str | Path, shape: tuple[int, int], threads: int = 1) -> float | None:
    """Return the MB that a process needs to load a file and run it on an image of (height, width); None if unknown.

    A fresh process does it; what the libraries take before the file is loaded does not count.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=report_memory, args=(sender, str(path), tuple(shape), threads))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:  # it died, for instance for want of memory
        return None
    finally:
        process.join()


def report_memory(sender: Connection, path: str, shape: tuple[int, int], threads: int) -> None:
    """Send the MB that loading and running a file adds to this process's peak."""
    torch.set_num_threads(threads)
    before = high_water()
    runtime = load_detector(path, threads=threads)
    for _ in range(RUNS):
        runtime(torch.zeros(1, 3, *shape))
    after = high_water()
    sender.send(None if before is None or after is None else after - before)


def high_water() -> float | None:
    """Return the largest resident memory of this process so far in MB, None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), None)


def energy(
    call: Callable[[], object],
    seconds: float = 1.0,
    counter: Path = ENERGY,
    clock: Callable[[], float] = time.perf_counter,
) -> float | None:
    """Return the joules that a call takes, measured over repetitions; None where the processor does not tell.

    The counter is that of the first processor, without GPUs; all that it does meanwhile, idling too, is counted in.
    """
    before = read_energy(counter)
    if before is None:
        return None
    start, count = clock(), 0
    while clock() - start < seconds:
        call()
        count += 1
    after = read_energy(counter)
    if after is not None and after < before:  # the counter has begun anew
        wrap = read_energy(counter.with_name(WRAP))
        after = None if wrap is None else after + wrap
    return None if after is None else (after - before) / count


def read_energy(counter: Path) -> float | None:
    """Return a counter's joules, None when it cannot be read."""
    try:
        return int(counter.read_text()) / 1e6
    except (OSError, ValueError):
        return None
