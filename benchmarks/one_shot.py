"""What a cut without any training costs: mAP of yolov5n.pt at 10, 20 and 40 % of the FLOPs removed.

python benchmarks/one_shot.py --data coco128-val2017.yaml --weights yolov5n.pt
The data yaml's training images calibrate, its validation images measure, so they should not be the same.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.cli.options import option  # noqa: E402  (the path comes first)
from utils.cli.start import run  # noqa: E402  (the path comes first)
from utils.pruning.budget import choose  # noqa: E402
from utils.pruning.options import PruneOptions  # noqa: E402
from utils.pruning.pipeline import make_cut, score  # noqa: E402
from utils.pruning.prune import read_task  # noqa: E402
from utils.pruning.report.write import evaluate_stored  # noqa: E402

LADDER = (
    ("bn, as cut", {"criterion": "bn", "compensate": "none"}),
    ("bn, means, statistics", {"criterion": "bn", "compensate": "mean", "recalibrate": 128}),
    ("bn, least squares", {"criterion": "bn", "compensate": "lstsq"}),
    ("taylor, as cut", {"criterion": "taylor", "compensate": "none"}),
    ("taylor, means", {"criterion": "taylor", "compensate": "mean"}),
    ("taylor, means, statistics", {"criterion": "taylor", "compensate": "mean", "recalibrate": 128}),
    ("taylor, least squares", {"criterion": "taylor", "compensate": "lstsq"}),
    ("taylor, power 0.5, least squares", {"criterion": "taylor", "power": 0.5, "compensate": "lstsq"}),
)


@dataclass
class BenchmarkOptions:
    """Options of this benchmark."""

    weights: str = option("yolov5n.pt", "checkpoint to cut")
    data: str = option("coco128.yaml", "data yaml")
    imgsz: int = option(640, "side of the images in pixels", minimum=64)
    left: list[float] = option([0.9, 0.8, 0.6], "shares of the FLOPs that stay", nargs="+")
    calib: int = option(128, "images to calibrate on", minimum=1)
    ways: list[int] = option(
        list(range(len(LADDER))),
        "rows of the table to measure: " + ", ".join(f"{i} {n}" for i, (n, _) in enumerate(LADDER)),
        nargs="+",
    )
    workers: int = option(0, "processes that load images", minimum=0)


def main(options):
    """Cut in every way to every share and print the table."""
    shared = {
        "weights": options.weights,
        "data": options.data,
        "imgsz": options.imgsz,
        "calib": options.calib,
        "workers": options.workers,
        "max_layer_share": 0.9,
        "device": "cpu",
    }
    first = PruneOptions(criterion="taylor", flops=1.0, **shared)
    job = read_task(first)
    print(f"{'':<36}{'FLOPs left':>11}{'mAP50':>8}{'mAP50-95':>10}")
    how = {"split": first.task, "batch_size": first.batch_size, "workers": first.workers}
    show("dense", 1.0, evaluate_stored(job, job.model, **how))
    scores = {}
    for name, settings in (LADDER[i] for i in options.ways):
        for left in options.left:
            wanted = PruneOptions(**shared, **settings, flops=left)
            one = replace(job, recipe=wanted.recipe)
            key = settings["criterion"], settings.get("power", 1.0)
            if key not in scores:
                scores[key] = score(one)
            cut = make_cut(one, choose(one, wanted.budget, scores[key]))
            show(name, left, evaluate_stored(one, cut.after, **how))


def show(name, left, evaluation):
    """Print one row."""
    print(f"{name:<36}{left:11.0%}{evaluation.map50:8.3f}{evaluation.map:10.3f}", flush=True)


if __name__ == "__main__":
    run(BenchmarkOptions, main, __doc__)
