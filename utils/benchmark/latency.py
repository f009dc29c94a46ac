"""How long detectors take for one image on this machine, measured so that they can be compared."""

import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from models.yolo import DetectionModel
from utils.runtimes.runtimes import TorchRuntime

Key = TypeVar("Key", bound=Hashable)

WARM_UP = 5
OWN_CLOCK = time.thread_time  # where one thread computes: what else the machine is busy with does not count
CERTAINTY = 1.96  # standard deviations of the count of rounds below the median: an interval of 95 %


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one detector: the median over rounds, and the quarter and three-quarter points."""

    median: float
    low: float
    high: float


def measure_latency(models: Mapping[str, DetectionModel], image_size: int, rounds: int = 50) -> dict[str, float]:
    """Return {name: median milliseconds an image} of several detectors in PyTorch on one thread, float32, batch 1.

    Args:
        models: {name: DetectionModel}; batch norms are folded in copies.
        image_size: side in pixels, a multiple of the stride.
        rounds: how often each one runs.
    """
    image = noise((image_size, image_size))
    calls = {name: pytorch_call(TorchRuntime(name, model=model), image) for name, model in models.items()}
    with computing_threads(1):
        times = take_turns(calls, rounds, OWN_CLOCK)
    return {name: summarise(values).median for name, values in times.items()}


def noise(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Return an image [1, 3, H, W] of random numbers from 0 to 1 for shape (height, width)."""
    return torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(seed))


def pytorch_call(runtime: TorchRuntime, image: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return a callable that runs a TorchRuntime on an image, laid out as is fastest on its device."""
    network = runtime.model.to(memory_format=torch.channels_last)
    image = image.to(runtime.device, runtime.dtype, memory_format=torch.channels_last)

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return network(image)[0]

    return call


@contextmanager
def computing_threads(count: int) -> Iterator[None]:
    """Let PyTorch compute with so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def take_turns(
    calls: Mapping[Key, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[Key, list[float]]:
    """Return {name: [seconds of each round]} of {name: callable}.

    They take turns, so that whatever else the machine does hits all of them alike; the first rounds do not count.
    """
    times: dict[Key, list[float]] = {name: [] for name in calls}
    for step in range(WARM_UP + rounds):
        for name, call in calls.items():
            start = clock()
            call()
            if step >= WARM_UP:
                times[name].append(clock() - start)
    return times


def summarise(seconds: Sequence[float]) -> Timing:
    """Return the Timing of a list of seconds."""
    if len(seconds) < 2:
        return Timing(*[1000 * seconds[0]] * 3)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(1000 * median, 1000 * low, 1000 * high)


def compare(first: Sequence[float], second: Sequence[float]) -> tuple[float, bool]:
    """Return (how many times as fast the second is as the first, whether that is within the noise).

    Args:
        first, second: lists of seconds, round by round.

    The ratio is the median over rounds. It is noise when the interval in which that median lies with 95 % certainty,
    from the order statistics of the ratios, contains 1.
    """
    ratios = sorted(a / b for a, b in zip(first, second, strict=True))
    margin = CERTAINTY * len(ratios) ** 0.5 / 2
    low = ratios[max(int(len(ratios) / 2 - margin), 0)]
    high = ratios[min(int(len(ratios) / 2 + margin), len(ratios) - 1)]
    return statistics.median(ratios), low <= 1 <= high
