"""How time and memory grow with the size: python benchmarks/timing/growth.py --plot FOLDER.

Scans of generated entries, epochs and validations of drawn photos, and cuts of YOLOv5 n to x; each in a process of its
own. The exponent of a power law is fitted to the CPU seconds, and to the memory beyond what was held before: 1 is
linear.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks import scan  # noqa: E402  (the path comes first)
from benchmarks.pruning_time import cut, make_model, read_memory, reset_memory  # noqa: E402
from benchmarks.timing.plots import plot_growth  # noqa: E402
from benchmarks.timing.rows import Growth, command, computing, table  # noqa: E402
from benchmarks.training_step import Ours, StepOptions  # noqa: E402
from models.cost import count_parameters  # noqa: E402
from models.yolo import DetectionModel  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.config import load_data  # noqa: E402
from utils.data.shapes import NAMES, draw_shapes  # noqa: E402
from utils.files.paths import ROOT  # noqa: E402
from utils.validation.measure import validate  # noqa: E402

SCRIPT = "benchmarks/timing/growth.py"
SIDE = 64  # pixels of the drawn photos


@dataclass
class GrowthOptions:
    """Options of this benchmark."""

    entries: str = option("1000,10000,100000", "generated entries that are scanned")
    photos: str = option("100,300,1000", "drawn photos that are trained on and validated")
    models: list[str] = option(["n", "s", "m", "l", "x"], "sizes", nargs="+", choices=("n", "s", "m", "l", "x"))
    rounds: int = option(3, "times that each is measured", minimum=1)
    plot: str = option("", "folder for growth.png")


def numbers(text: str) -> list[int]:
    """Return the numbers of a list with commas."""
    return [int(word) for word in text.split(",")]


def alone(work: Callable[..., Any], *args: Any) -> Any:
    """Return what work(*args) returns in a new process of one thread."""
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return pool.submit(work, *args).result()


def cost(work: Callable[[], Any]) -> tuple[float, float]:
    """Return (CPU seconds, MB beyond what was held before, at least 1) of a call."""
    before = reset_memory() or 0
    seconds = computing(work)
    return seconds, max((read_memory("VmHWM") - before) / 2**20, 1.0)


def scan_costs(number: int, rounds: int) -> np.ndarray:
    """Return (CPU s of the first scan, of a later one, MB of a later one) of generated entries [rounds, 3]."""
    with tempfile.TemporaryDirectory() as work:
        scan.generate(Path(work), number, scan.small_photo())
        pairs = [[scan.measure(Path(work), 1, cold=cold) for cold in (True, False)] for _ in range(rounds)]
    return np.array([[first[2], later[2], max(later[3], 1.0)] for first, later in pairs])


def epoch_cost(data: str, number: int) -> tuple[float, float]:
    """Return the cost of the second epoch of a training."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(StepOptions(data=data, imgsz=SIDE, images=number), 0, folder)
        ours.epoch()
        return cost(ours.epoch)


def validation_cost(data: str, split: str) -> tuple[float, float]:
    """Return the cost of a validation."""
    model = DetectionModel(ROOT / "models/yolov5n.yaml", nc=len(NAMES))
    config = load_data(data)
    model.names = config.names
    settings: dict[str, Any] = {"device": torch.device("cpu"), "imgsz": SIDE, "batch_size": 16, "workers": 0}
    return cost(lambda: validate(model, config, split, progress=False, **settings))


def photo_costs(number: int, rounds: int) -> np.ndarray:
    """Return (CPU s and MB of an epoch, CPU s and MB of a validation) of drawn photos [rounds, 4]."""
    with tempfile.TemporaryDirectory() as work:
        data = str(draw_shapes(Path(work) / "shapes", number, 1, SIDE))
        each = [(alone(epoch_cost, data, number), alone(validation_cost, data, "train")) for _ in range(rounds)]
    return np.array([[*epoch, *validation] for epoch, validation in each])


def cut_costs(size: str) -> tuple[int, int, list[float]]:
    """Return (channels, parameters, [CPU s of tracing, of scoring and choosing, of rebuilding and writing, MB]).

    Each is measured the second time: the first loads what the process needs for any network.
    """
    model, found = make_model(size), []
    cut(make_model("n"), 0.5)
    start = time.process_time()
    _, memory = cost(lambda: found.extend(cut(model, 0.5)[1]))
    traced, _, chosen, _, written = found
    channels = sum(norm.num_features for norm in model.modules() if isinstance(norm, torch.nn.BatchNorm2d))
    return channels, count_parameters(model), [traced - start, chosen - traced, written - chosen, memory]


def curves(sizes: Sequence[int], costs: Any, of: str, names: Sequence[tuple[str, str, str]]) -> list[Growth]:
    """Return the Growth of each (what, unit, what the exponent should be) of costs [k sizes, rounds, n names]."""
    columns = np.moveaxis(np.array(costs), (0, 1, 2), (2, 1, 0)).tolist()
    return [Growth(*name[:2], sizes, column, of, name[2]) for name, column in zip(names, columns, strict=True)]


def rows(options: GrowthOptions) -> list[Growth]:
    """Return the growth of all, and plot it where that is wanted."""
    entries, photos = numbers(options.entries), numbers(options.photos)
    scans = [scan_costs(number, options.rounds) for number in entries]
    runs = [photo_costs(number, options.rounds) for number in photos]
    cuts = [[alone(cut_costs, size) for _ in range(options.rounds)] for size in options.models]
    channels, parameters = ([each[0][column] for each in cuts] for column in (0, 1))
    times = np.array([[found for _, _, found in each] for each in cuts])
    seconds, linear, constant = "CPU s", "1, linear", "0, constant"
    names = ("the first scan", seconds, linear), ("a later scan", seconds, linear), ("a later scan", "MB", linear)
    found = curves(entries, scans, "images", names)
    names = ("an epoch", seconds, linear), ("an epoch", "MB", constant)
    found += curves(photos, [each[:, :2] for each in runs], "photos", names)
    names = ("a validation", seconds, linear), ("a validation", "MB", linear)
    found += curves(photos, [each[:, 2:] for each in runs], "photos", names)
    names = ("tracing", seconds, linear), ("scoring and choosing", seconds, linear)
    found += curves(channels, times[..., :2], "channels", names)
    names = ("cutting and writing", seconds, linear), ("a cut", "MB", linear)
    found += curves(parameters, times[..., 2:], "parameters", names)
    if options.plot:
        plot_growth(Path(options.plot) / "growth.png", found)
    return found


def main(options: GrowthOptions) -> None:
    """Print the table."""
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(GrowthOptions, main, __doc__)
