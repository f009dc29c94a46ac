"""Times on a machine that does other things too: its load, the processor's own time, rounds that scatter."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.benchmark.latency import Key, summarise, take_turns

SCATTER = 0.2  # of the median, between the quartiles, above which rounds are repeated
ATTEMPTS = 3


@dataclass(frozen=True)
class Rounds:
    """Seconds of each round of one detector."""

    clock: list[float]
    processor: list[float]  # of this process; of the calling thread where only that computes

    @property
    def scatter(self) -> float:
        """How far the quartiles of the clock are apart, as a share of the median."""
        timing = summarise(self.clock)
        return (timing.high - timing.low) / max(timing.median, 1e-9)


def take_steady_turns(
    calls: Mapping[Key, Callable[[], object]],
    rounds: int,
    threads: int = 1,
    *,
    clock: Callable[[], float] = time.perf_counter,
    say: Callable[[str], object] = print,
) -> dict[Key, Rounds]:
    """Return {name: Rounds} of {name: callable} that take turns; where one scatters, all turns are taken anew.

    Of ATTEMPTS at most, the steadiest counts. threads: that compute; `say` gets a line for each repetition.
    """
    own = time.thread_time if threads == 1 else time.process_time
    best: dict[Key, Rounds] = {}
    for attempt in range(1, ATTEMPTS + 1):
        found = measure_rounds(calls, rounds, lambda: np.array((clock(), own())))
        if not best or worst(found) < worst(best):
            best = found
        if worst(best) <= SCATTER:
            break
        if attempt < ATTEMPTS:
            say(f"the rounds scatter by {worst(found):.0%}: they are repeated")
    else:
        advice = "compare the processor's time, or measure on a quiet machine"
        say(f"the rounds scatter by {worst(best):.0%} at best: {advice}")
    return best


def measure_rounds(
    calls: Mapping[Key, Callable[[], object]], rounds: int, clocks: Callable[[], Any]
) -> dict[Key, Rounds]:
    """Return {name: Rounds} of one time of taking turns; clocks: returns an array of both clocks' seconds."""
    return {name: Rounds(*np.transpose(times).tolist()) for name, times in take_turns(calls, rounds, clocks).items()}


def worst(found: Mapping[Key, Rounds]) -> float:
    """Return the largest scatter."""
    return max(rounds.scatter for rounds in found.values())


def busy_line(threads: int, load: float | None = None, cores: int | None = None) -> str | None:
    """Return a line that warns when less than `threads` cores of this process are free, else None.

    load: processes that want to compute, by default the system's mean over the last minute; cores: of this process.
    """
    if load is None:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if cores is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if load + threads <= cores + 0.5:  # half a process is the noise of an idle machine
        return None
    return (
        f"this machine is busy: a load of {load:.1f} on {cores} core{'s' * (cores > 1)} before {threads} "
        f"thread{'s' * (threads > 1)} of this measurement; the clock may be off, the processor's time (CPU ms) less so"
    )
