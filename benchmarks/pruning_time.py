"""Seconds that each part of a cut takes, for YOLOv5 n to x: python benchmarks/pruning_time.py [--percent 0.5]."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.yolo import DetectionModel  # noqa: E402  (the path comes first)
from utils.checkpoint import checkpoint_bytes, finished_content  # noqa: E402
from utils.options import option, run  # noqa: E402
from utils.paths import ROOT  # noqa: E402
from utils.pruning.channels import trace_channels  # noqa: E402
from utils.pruning.importance import gamma_scores  # noqa: E402
from utils.pruning.rebuild import rebuild  # noqa: E402
from utils.pruning.selection import Limits, select  # noqa: E402


@dataclass
class BenchmarkOptions:
    """Options of this benchmark."""

    percent: float = option(0.5, "share of the channels that goes", minimum=0, below=1)
    models: list[str] = option(["n", "s", "m", "l", "x"], "sizes", nargs="+", choices=("n", "s", "m", "l", "x"))


def main(options):
    """Cut untrained networks, whose equal gammas make the choice arbitrary but not the work."""
    print(f"{'model':<10}{'trace':>8}{'score':>8}{'select':>8}{'rebuild':>9}{'write':>8}{'all':>8}   seconds")
    for size in options.models:
        model = DetectionModel(ROOT / f"models/yolov5{size}.yaml")
        times = [time.perf_counter()]
        graph = trace_channels(model)
        times.append(time.perf_counter())
        scores = gamma_scores(model, graph)
        times.append(time.perf_counter())
        keep = select(scores, graph.channel_counts(), options.percent, Limits())
        times.append(time.perf_counter())
        narrow = rebuild(model, graph, keep)
        times.append(time.perf_counter())
        checkpoint_bytes(finished_content(narrow))
        times.append(time.perf_counter())
        parts = [b - a for a, b in zip(times, times[1:])]
        words = "".join(f"{part:{width}.2f}" for part, width in zip([*parts, sum(parts)], (8, 8, 8, 9, 8, 8)))
        print(f"yolov5{size:<4}{words}")


if __name__ == "__main__":
    run(BenchmarkOptions, main, __doc__)
