"""A fixed validation to measure val.py against: the operations that detectors are commonly validated with, one by one.

    python benchmarks/timing/reference_validation.py --weights yolov5n.pt --data data.yaml --imgsz 640

Batches run at once with the planes apart; boxes are suppressed, matched and counted image by image, each threshold by
itself; average precision goes class by class; pictures are drawn with Pillow and matplotlib. The project uses nothing
of it: it stays as it is, so that ratios to it can be compared over machines and years. It prints the same four numbers.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from matplotlib import pyplot
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.resizing import own_batches  # noqa: E402  (the path comes first)
from utils.boxes.geometry import scale_boxes, xywh2xyxy, xywhn2xyxy  # noqa: E402
from utils.boxes.metrics import smooth  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.config import load_data  # noqa: E402
from utils.data.splits import load_split  # noqa: E402
from utils.files.checkpoint import load_checkpoint  # noqa: E402

CONF, IOU, MOST, CANDIDATES, APART = 0.001, 0.6, 300, 30000, 7680
SURE, TOUCHING = 0.25, 0.45  # score and overlap from which the confusion matrix counts
DRAWN = 3  # batches of which there are pictures
IOUS = np.linspace(0.5, 0.95, 10)
CONFIDENCES = np.linspace(0, 1, 1000)


@dataclass
class ReferenceOptions:
    """Options of the reference."""

    weights: str = option("yolov5n.pt", "checkpoint")
    data: str = option("data/coco128.yaml", "data yaml, of which the validation images are used")
    imgsz: int = option(640, "longest side of the images in pixels")
    batch_size: int = option(16, "images in a batch", minimum=1)
    project: str = option("runs/reference", "folder for the pictures")


def suppressed(image: torch.Tensor) -> torch.Tensor:
    """Return the detections [n, 6] of one image's predictions [N, 5 + nc]."""
    image = image[image[:, 4] > CONF]
    scores = image[:, 5:] * image[:, 4:5]
    row, label = (scores > CONF).nonzero(as_tuple=False).T
    found = torch.cat((xywh2xyxy(image[:, :4])[row], scores[row, label, None], label[:, None].float()), 1)
    found = found[found[:, 4].argsort(descending=True)[:CANDIDATES]]
    kept = torchvision.ops.nms(found[:, :4] + found[:, 5:] * APART, found[:, 4], IOU)[:MOST]
    return found[kept]


def pairs(overlap: torch.Tensor, possible: torch.Tensor) -> np.ndarray:
    """Return pairs [k, 3] label, detection, overlap of the possible ones, the best for each label and detection."""
    place = torch.where(possible)
    found = torch.cat((torch.stack(place, 1), overlap[place][:, None]), 1).numpy()
    if len(place[0]) > 1:
        found = found[found[:, 2].argsort()[::-1]]
        found = found[np.unique(found[:, 1], return_index=True)[1]]
        found = found[np.unique(found[:, 0], return_index=True)[1]]
    return found


def matched(detections: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Return which detections [n, 10] are right at each of IOUS."""
    correct = np.zeros((len(detections), len(IOUS)), bool)
    overlap = torchvision.ops.box_iou(labels[:, 1:], detections[:, :4])
    same = labels[:, :1] == detections[:, 5]
    for column, threshold in enumerate(IOUS):
        correct[pairs(overlap, (overlap >= threshold) & same)[:, 1].astype(int), column] = True
    return correct


def confuse(matrix: np.ndarray, detections: torch.Tensor, labels: torch.Tensor) -> None:
    """Count the sure detections of an image in a confusion matrix [nc + 1, nc + 1]."""
    detections, nothing = detections[detections[:, 4] > SURE], len(matrix) - 1
    overlap = torchvision.ops.box_iou(labels[:, 1:], detections[:, :4])
    found = pairs(overlap, overlap > TOUCHING)
    partner = dict(found[:, :2].astype(int).tolist())
    for index, label in enumerate(labels[:, 0].int().tolist()):
        matrix[int(detections[partner[index], 5]) if index in partner else nothing, label] += 1
    for index, label in enumerate(detections[:, 5].int().tolist()):
        if index not in partner.values():
            matrix[label, nothing] += 1


def precise(correct: np.ndarray, scores: np.ndarray, found: np.ndarray, labels: np.ndarray) -> Any:
    """Return (AP [k, 10], precision, recall [k, 1000] over CONFIDENCES) of the k classes that have labels."""
    order = np.argsort(-scores)
    correct, scores, found = correct[order], scores[order], found[order]
    classes, counts = np.unique(labels, return_counts=True)
    ap = np.zeros((len(classes), len(IOUS)))
    precision, recall = np.zeros((2, len(classes), len(CONFIDENCES)))
    for row, (label, count) in enumerate(zip(classes, counts, strict=True)):
        right = correct[found == label].cumsum(0)
        if not len(right):
            continue
        wrong = (1 - correct[found == label]).cumsum(0)
        r, p = right / (count + 1e-16), right / (right + wrong)
        recall[row] = np.interp(-CONFIDENCES, -scores[found == label], r[:, 0], left=0)
        precision[row] = np.interp(-CONFIDENCES, -scores[found == label], p[:, 0], left=1)
        for column in range(len(IOUS)):
            steps = np.concatenate(([0.0], r[:, column], [1.0]))
            below = np.concatenate(([1.0], p[:, column], [0.0]))
            below = np.flip(np.maximum.accumulate(np.flip(below)))
            x = np.linspace(0, 1, 101)
            ap[row, column] = np.trapezoid(np.interp(x, steps, below), x)
    return ap, precision, recall


def draw_batch(file: Path, images: torch.Tensor, rows: list[torch.Tensor], names: dict[int, str]) -> None:
    """Write a picture of a batch with boxes [n, 6] on each image."""
    across, (height, width) = int(np.ceil(len(images) ** 0.5)), images.shape[2:]
    canvas = np.full((across * height, across * width, 3), 255, np.uint8)
    for index, image in enumerate(images):
        y, x = index // across * height, index % across * width
        canvas[y : y + height, x : x + width] = image.permute(1, 2, 0).numpy()
    factor = min(1920 / max(canvas.shape[:2]), 1)
    picture = Image.fromarray(canvas).resize([round(factor * side) for side in canvas.shape[1::-1]])
    draw = ImageDraw.Draw(picture)
    for index, found in enumerate(rows):
        place = torch.tensor((index % across * width, index // across * height) * 2)
        for *box, _, label in torch.cat(((found[:, :4] + place) * factor, found[:, 4:]), 1).tolist():
            draw.rectangle(box, outline=(0, 99, 255), width=2)
            draw.text(box[:2], names[int(label)])
    picture.save(file)


def draw_curve(file: Path, x: np.ndarray, curves: np.ndarray, title: str) -> None:
    """Write curves [k, n] and their mean."""
    figure, axes = pyplot.subplots(figsize=(9, 6), tight_layout=True)
    axes.plot(x, curves.T, linewidth=1, color="grey")
    axes.plot(x, smooth(curves.mean(0)), linewidth=3, label="all classes")
    axes.set(title=title, xlim=(0, 1), ylim=(0, 1))
    axes.legend(bbox_to_anchor=(1.04, 1), loc="upper left")
    figure.savefig(file, dpi=250)
    pyplot.close(figure)


def draw_matrix(file: Path, matrix: np.ndarray, names: dict[int, str]) -> None:
    """Write a confusion matrix."""
    figure, axes = pyplot.subplots(figsize=(12, 9), tight_layout=True)
    figure.colorbar(axes.pcolormesh(matrix / (matrix.sum(0, keepdims=True) + 1e-9), cmap="Blues", vmin=0))
    for ticks in (axes.set_xticks, axes.set_yticks):
        ticks(np.arange(len(matrix)) + 0.5, [*names.values(), "background"], fontsize=6)
    axes.tick_params("x", rotation=90)
    figure.savefig(file, dpi=250)
    pyplot.close(figure)


@torch.no_grad()
def main(options: ReferenceOptions) -> None:
    """Validate, draw, and print precision, recall, mAP50 and mAP50-95."""
    config = load_data(options.data)
    model = load_checkpoint(options.weights).network.float().eval().fuse()
    names, folder = config.names, Path(options.project)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [Path(path) for path in load_split(config, "val", progress=False)[0].paths]
    matrix, parts = np.zeros((len(names) + 1,) * 2), []
    for number, (images, targets, _, shapes) in enumerate(own_batches(paths, options.imgsz, options.batch_size)):
        found = [suppressed(image) for image in model(images.float() / 255)[0]]
        loaded = images.shape[2:]
        rows = [targets[targets[:, 0] == index, 1:] for index in range(len(images))]
        boxes = [torch.cat((own[:, :1], xywhn2xyxy(own[:, 1:], *loaded[::-1])), 1) for own in rows]
        for detections, labels, shape in zip(found, boxes, shapes, strict=True):
            detections = torch.cat((scale_boxes(detections[:, :4], loaded, *shape), detections[:, 4:]), 1)
            labels = torch.cat((labels[:, :1], scale_boxes(labels[:, 1:], loaded, *shape)), 1)
            confuse(matrix, detections, labels)
            score, kind = detections[:, 4:].T.numpy()
            parts.append((matched(detections, labels), score, kind, labels[:, 0].numpy()))
        if number < DRAWN:
            truth = [torch.cat((own[:, 1:], own[:, :1], own[:, :1]), 1) for own in boxes]
            draw_batch(folder / f"labels{number}.jpg", images, truth, names)
            draw_batch(folder / f"found{number}.jpg", images, [own[own[:, 4] > SURE] for own in found], names)
    ap, precision, recall = precise(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    f1 = 2 * precision * recall / (precision + recall + 1e-16)
    for name, curves in {"P": precision, "R": recall, "F1": f1}.items():
        draw_curve(folder / f"{name}.png", CONFIDENCES, curves, name)
    draw_curve(folder / "PR.png", recall.mean(0), precision, "PR")
    draw_matrix(folder / "matrix.png", matrix, names)
    best = smooth(f1.mean(0)).argmax()
    numbers = precision[:, best].mean(), recall[:, best].mean(), ap[:, 0].mean(), ap.mean()
    print(" ".join(f"{value:.4f}" for value in numbers))


if __name__ == "__main__":
    run(ReferenceOptions, main, __doc__)
