"""Time average precision on drawn detections: python benchmarks/average_precision.py --images 5000 --detections 100.

Compared: pycocotools where it is installed, faster-coco-eval, which --save-json uses, and the project's own matching,
which val.py's table uses. All get the same boxes from memory, all run on one thread.
"""

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faster_coco_eval
import numpy as np
import torch
from faster_coco_eval import COCOeval_faster

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing.rows import Row, command, computing, in_turns, table  # noqa: E402  (the path comes first)
from utils.boxes.geometry import xyxy2xywh  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.runtimes.packages import has  # noqa: E402
from utils.validation.evaluate import Tally  # noqa: E402

SCRIPT = "benchmarks/average_precision.py"
SIDE, LABELS = 640, 7  # pixels; labels an image, as COCO has them
Image = tuple[torch.Tensor, torch.Tensor]  # detections [n, 6] xyxy, score, class; labels [m, 5] class, xyxy
Numbers = tuple[float, float]  # mAP50-95, mAP50


@dataclass
class PrecisionOptions:
    """Options of this benchmark."""

    images: int = option(5000, "images", minimum=1)
    detections: int = option(100, "detections an image", minimum=1)
    classes: int = option(80, "classes", minimum=1)
    rounds: int = option(3, "times that each is measured, in turns", minimum=1)


def draw(options: PrecisionOptions) -> list[Image]:
    """Return images with labels, detections near them, and false ones with lower scores, seeded."""
    rng, images = np.random.default_rng(0), []
    for _ in range(options.images):
        corner, size = rng.uniform(0, SIDE * 0.7, (LABELS, 2)), rng.uniform(8, SIDE * 0.3, (LABELS, 2))
        labels = np.concatenate((rng.integers(0, options.classes, (LABELS, 1)), corner, corner + size), 1)
        chosen = labels[rng.integers(0, LABELS, options.detections)]
        moved = chosen[:, 1:] + rng.normal(0, 0.08, (options.detections, 4)) * np.tile(
            chosen[:, 3:] - chosen[:, 1:3], 2
        )
        scores = rng.random(options.detections) ** 2
        other = rng.integers(0, options.classes, options.detections)
        found = np.where(rng.random(options.detections) < scores, chosen[:, 0], other)
        rows = np.column_stack((moved, scores, found))[np.argsort(-scores)]
        images.append((torch.from_numpy(rows).float(), torch.from_numpy(labels).float()))
    return images


def own(images: list[Image]) -> Numbers:
    """Return the mAPs as val.py's table has them."""
    tally = Tally()
    for detections, labels in images:
        tally.add(detections, labels)
    ap = tally.scores().ap
    return float(ap.mean()), float(ap[:, 0].mean())


def coco(images: list[Image], classes: int, make: Any, evaluator: Any) -> Callable[[], Numbers]:
    """Return a callable that gives the mAPs of a COCO library; `make` and `evaluator` are its COCO and COCOeval."""
    truth, results = make(), []
    annotations: list[dict[str, Any]] = []
    for index, (detections, labels) in enumerate(images):
        for box, label in zip(left_top(labels[:, 1:]), labels[:, 0].int().tolist()):
            area = box[2] * box[3]
            entry = {"id": len(annotations) + 1, "image_id": index, "category_id": label, "bbox": box, "area": area}
            annotations.append(entry | {"iscrowd": 0})
        for box, (score, label) in zip(left_top(detections[:, :4]), detections[:, 4:].tolist()):
            results.append({"image_id": index, "category_id": int(label), "bbox": box, "score": score})
    pictures = [{"id": index, "width": SIDE, "height": SIDE} for index in range(len(images))]
    categories = [{"id": index, "name": str(index)} for index in range(classes)]
    truth.dataset = {"images": pictures, "annotations": annotations, "categories": categories, "info": {}}
    truth.createIndex()
    found = truth.loadRes(results)

    def measure() -> Numbers:
        """Evaluate anew."""
        task = evaluator(truth, found, "bbox")
        task.evaluate()
        task.accumulate()
        task.summarize()
        return float(task.stats[0]), float(task.stats[1])

    return measure


def left_top(boxes: torch.Tensor) -> list[list[float]]:
    """Return corners [n, 4] as lists of left, top, width, height."""
    boxes = xyxy2xywh(boxes)
    boxes[:, :2] -= boxes[:, 2:] / 2
    return boxes.tolist()


def ways(options: PrecisionOptions, images: list[Image]) -> dict[str, Callable[[], Numbers]]:
    """Return {name: what measures the images}, the reference first."""
    calls: dict[str, Callable[[], Numbers]] = {}
    if has("pycocotools"):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        calls["pycocotools"] = coco(images, options.classes, COCO, COCOeval)
    calls["faster-coco-eval, --save-json"] = coco(images, options.classes, faster_coco_eval.COCO, COCOeval_faster)
    return calls | {"the table of val.py": lambda: own(images)}


def rows(options: PrecisionOptions) -> list[Row]:
    """Return the rows of all ways; those behind the first have it as their reference."""
    torch.set_num_threads(1)
    images = draw(options)
    with contextlib.redirect_stdout(io.StringIO()):
        calls = ways(options, images)
        numbers = [call() for call in calls.values()]
        times = in_turns(options.rounds, *(lambda call=call: computing(call) for call in calls.values()))
    names = [f"{name}, mAP50-95 {found[0]:.4f}, mAP50 {found[1]:.4f}" for name, found in zip(calls, numbers)]
    return [Row(name, "CPU s", here, times[0], next(iter(calls))) for name, here in zip(names[1:], times[1:])]


def main(options: PrecisionOptions) -> None:
    """Print the table."""
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(PrecisionOptions, main, __doc__)
