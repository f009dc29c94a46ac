"""The time measurement of every command: networks take turns, medians over rounds are compared."""

import statistics
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from models.cost import count_gflops
from models.yolo import DetectionModel
from utils.export.onnx import onnx_bytes, onnx_graph
from utils.progress import track
from utils.runtimes.metadata import describe_model
from utils.runtimes.runtimes import OnnxRuntime, TorchRuntime

Key = TypeVar("Key", bound=Hashable)

WARM_UP = 5
WALL_CLOCK = time.perf_counter  # where several threads or a GPU compute
OWN_CLOCK = time.thread_time  # where one thread computes: what else the machine is busy with does not count
ROUND_LIMITS = (5, 50)  # fewest and most rounds of a measurement
WORK = 200  # GFLOPs that all rounds of one network may take, about; the fewest rounds of the largest ones take more
SINGLE = 30  # rounds of a network that is measured by itself
CERTAINTY = 1.96  # standard deviations of the count of rounds below the median: an interval of 95 %
FASTER = 1.03  # ratio of times above which a network counts as faster; less is within the noise of a measurement
CONDITIONS = "PyTorch on the CPU, 1 thread, batch 1, float32"  # of the times in reports


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one detector: the median over rounds, and the quarter and three-quarter points."""

    median: float
    low: float
    high: float


def measure_latency(
    models: Mapping[Key, DetectionModel],
    image_size: int,
    runtime: str = "torch",
    rounds: int | None = None,
    clock: Callable[[], float] = OWN_CLOCK,
) -> dict[Key, float]:
    """Return {name: median milliseconds an image} of several networks, in turns, on one thread, float32, batch 1.

    Args:
        models: {name: DetectionModel}; they stay as they are: batch norms are folded in copies.
        image_size: side in pixels, a multiple of the stride of each.
        runtime: one of utils.benchmark.options.RUNTIMES.
        rounds: how often each one runs; None: as `affordable_rounds` says.
        clock: returns seconds.

    Raises InputError when the package of the runtime is missing.
    """
    rounds = affordable_rounds(models.values(), image_size) if rounds is None else rounds
    with computing_threads(1), running(models, image_size, runtime) as calls:
        times = take_turns(calls, rounds, clock)
    return {name: summarise(values).median for name, values in times.items()}


def milliseconds(
    model: DetectionModel,
    image_size: int,
    runtime: str,
    rounds: int = SINGLE,
    latency: Callable[..., dict] = measure_latency,
) -> float:
    """Return what `latency`, called as measure_latency is, gives for a network that nothing takes turns with."""
    return latency({"": model}, image_size, runtime, rounds)[""]


def affordable_rounds(models: Iterable[DetectionModel], image_size: int) -> int:
    """Return how often DetectionModels run in a measurement: the largest does about WORK, within ROUND_LIMITS."""
    work = max(count_gflops(model, image_size) for model in models)
    return min(max(round(WORK / max(work, 1e-9)), ROUND_LIMITS[0]), ROUND_LIMITS[1])


@contextmanager
def running(
    models: Mapping[Key, DetectionModel], image_size: int, runtime: str
) -> Iterator[dict[Key, Callable[[], object]]]:
    """Give {name: callable that runs it once on an image} of {name: DetectionModel}; see `measure_latency`."""
    image = noise((image_size, image_size))
    if runtime == "torch":
        yield {name: pytorch_call(TorchRuntime("", model=model), image) for name, model in models.items()}
        return
    calls: dict[Key, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, model) in enumerate(models.items()):
            file, metadata = Path(folder) / f"{number}.onnx", describe_model(model, (image_size, image_size))
            file.write_bytes(onnx_bytes(onnx_graph(model, metadata), metadata))
            calls[name] = partial(OnnxRuntime(file, threads=1), image)
        yield calls


def noise(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Return an image [1, 3, H, W] of random numbers from 0 to 1 for shape (height, width)."""
    return torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(seed))


def pytorch_call(runtime: TorchRuntime, image: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return a callable that runs a TorchRuntime on an image, laid out as is fastest on its device."""
    network = runtime.model.to(memory_format=torch.channels_last)
    image = image.to(runtime.device, runtime.dtype, memory_format=torch.channels_last)

    def call() -> torch.Tensor:
        """Run it once, without gradients."""
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
    calls: Mapping[Key, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[Key, list[float]]:
    """Return {name: [seconds of each round]} of {name: callable}.

    They take turns, so that whatever else the machine does hits all of them alike; the first rounds do not count.
    """
    times: dict[Key, list[float]] = {name: [] for name in calls}
    for step in track(range(WARM_UP + rounds), "timing", unit="rounds"):
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


def speedup(first: Sequence[float], second: Sequence[float]) -> tuple[float, bool]:
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
