"""Run a detector over labelled images and measure it: precision, recall, mAP, losses, speed."""

import time
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from utils.boxes.geometry import import_nms, non_max_suppression, scale_boxes, xywhn2xyxy
from utils.boxes.metrics import ConfusionMatrix, Scores, fitness, match, score

STAGES = ("pre-process", "inference", "NMS")
COLUMNS = ("Images", "Instances", "P", "R", "mAP50", "mAP50-95")


@dataclass(frozen=True)
class ClassResult:
    """Results of one class that has labels."""

    index: int
    name: str
    images: int  # images looked at, with or without this class
    instances: int
    precision: float
    recall: float
    map50: float
    map: float


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured; precision, recall and the mAPs are means over the classes that have labels."""

    precision: float
    recall: float
    map50: float
    map: float  # mean over IoU 0.50:0.05:0.95
    per_class: list[ClassResult]
    images: int
    instances: int
    losses: tuple[float, ...] | None  # box, objectness, class: mean over batches
    speed: tuple[float, ...]  # milliseconds an image for each of STAGES
    scores: Scores  # curves
    confusion: ConfusionMatrix | None

    @property
    def fitness(self):
        """Number by which checkpoints are ranked."""
        return fitness(self.map50, self.map)


class Stopwatch:
    """Context manager that adds up the seconds spent inside it, waiting for a CUDA device to finish."""

    def __init__(self, device=None, clock=time.perf_counter):
        """Measure with `clock`, a callable that returns seconds."""
        self.device = None if device is None else torch.device(device)
        self.clock, self.seconds = clock, 0.0

    def now(self):
        """Return the clock's seconds after all queued work."""
        if self.device and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock()

    def __enter__(self):
        """Start."""
        self.start = self.now()
        return self

    def __exit__(self, *error):
        """Stop and add."""
        self.seconds += self.now() - self.start


@contextmanager
def evaluation_mode(model):
    """Put a module into evaluation mode and back; leave any other callable alone."""
    training = isinstance(model, nn.Module) and model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()


class Tally:
    """Collects the matched detections of all images, and counts them in a ConfusionMatrix if it is given one."""

    def __init__(self, confusion=None):
        """Start empty."""
        self.images, self.parts, self.confusion = 0, [], confusion

    def add(self, detections, labels):
        """Add one image: detections [n, 6] xyxy, score, class; labels [m, 5] class, xyxy, in the same units."""
        self.images += 1
        self.parts.append((match(detections, labels), detections[:, 4], detections[:, 5], labels[:, 0]))
        if self.confusion is not None:
            self.confusion.add(detections, labels)

    def add_batch(self, detections, targets, loaded, shapes):
        """Add a list of detections in pixels of loaded images (height, width), with targets and shapes as collated."""
        for image, (found, shape) in enumerate(zip(detections, shapes, strict=True)):
            self.add(*in_original(found, targets[targets[:, 0] == image, 1:], loaded, shape))

    def scores(self):
        """Return the `Scores` of all images added."""
        return score(*(torch.cat(part).numpy() for part in zip(*self.parts, strict=True)))


@torch.no_grad()
def evaluate(
    model,
    loader,
    *,
    names,
    device,
    conf=0.001,
    iou=0.6,
    max_det=300,
    single_cls=False,
    augment=False,
    half=False,
    loss=None,
    confusion=False,
    observer=None,
    progress=True,
    clock=time.perf_counter,
):
    """Return the Evaluation of a detector on a loader's images.

    Detections and labels are compared in pixels of the original images.

    Args:
        model: callable on images [B, 3, H, W] from 0 to 1 (`augment=True` is passed on when asked for), which returns
            predictions [B, N, 5 + nc] as `non_max_suppression` takes them, or (predictions, raw training output).
        loader: yields (images uint8 [B, 3, H, W], targets [N, 6], paths, shapes) as utils.data.loader.collate.
        names: class index → name.
        single_cls: the labels all have class 0; predicted classes are ignored.
        half: compute in float16 by autocast; the model's own weights stay as they are.
        loss: callable (raw, targets) → (total, parts); adds losses to the result.
        confusion: also count the confusion matrix.
        observer: called as observer(batch_index, images, targets, paths, shapes, detections) after each batch, with the
            images as loaded and a list of detections [n, 6] on the CPU in pixels of the loaded images.
        progress: show a bar when stderr is a terminal.
    """
    device = torch.device(device)
    import_nms()  # not on the clock
    watches = [Stopwatch(device, clock) for _ in STAGES]
    tally = Tally(ConfusionMatrix(1 if single_cls else len(names)) if confusion else None)
    losses = []
    bar = tqdm(loader, desc="validating", disable=None if progress else True)  # None: off unless stderr is a terminal
    with evaluation_mode(model), torch.autocast(device.type, torch.float16, enabled=half):
        for index, (images, targets, paths, shapes) in enumerate(bar):
            with watches[0]:
                inputs = images.to(device, non_blocking=True).float() / 255
            with watches[1]:
                predictions, raw = split_output(model(inputs, augment=True) if augment else model(inputs))
            if loss is not None:
                losses.append(loss(raw, targets.to(device))[1].cpu())
            with watches[2]:
                detections = non_max_suppression(predictions, conf, iou, agnostic=single_cls, max_det=max_det)
            detections = [found.cpu() for found in detections]
            if single_cls:
                for found in detections:
                    found[:, 5] = 0
            tally.add_batch(detections, targets, images.shape[2:], shapes)
            if observer is not None:
                observer(index, images, targets, paths, shapes, detections)
    return summarise(tally, names, losses, [watch.seconds for watch in watches])


def split_output(output):
    """Return (predictions, raw or None) of what a detector gave."""
    return output if isinstance(output, (tuple, list)) else (output, None)


def in_original(detections, labels, loaded, shape):
    """Return the detections [n, 6] and labels [m, 5] class, xyxy of one image in pixels of the original image.

    Args:
        detections: xyxy in pixels of the loaded image, score, class.
        labels: [m, 5] class, then xywh as shares of the loaded image.
        loaded: (height, width) of the loaded image.
        shape: ((height, width) of the original, ((ratio_y, ratio_x), (pad_x, pad_y))).
    """
    boxes = xywhn2xyxy(labels[:, 1:], loaded[1], loaded[0])
    return (
        torch.cat((scale_boxes(detections[:, :4], loaded, *shape), detections[:, 4:]), 1),
        torch.cat((labels[:, :1], scale_boxes(boxes, loaded, *shape)), 1),
    )


def summarise(tally, names, losses, seconds):
    """Return the Evaluation of a Tally and what else was collected along the way."""
    scores = tally.scores()
    rows = [
        ClassResult(int(index), names[int(index)], tally.images, int(count), *map(float, (p, r, ap[0], ap.mean())))
        for index, count, p, r, ap in zip(scores.classes, scores.instances, scores.precision, scores.recall, scores.ap)
    ]
    means = np.mean([(row.precision, row.recall, row.map50, row.map) for row in rows], 0) if rows else np.zeros(4)
    return Evaluation(
        *map(float, means),
        per_class=rows,
        images=tally.images,
        instances=int(scores.instances.sum()),
        losses=tuple(torch.stack(losses).mean(0).tolist()) if losses else None,
        speed=tuple(1000 * s / tally.images for s in seconds),
        scores=scores,
        confusion=tally.confusion,
    )


def format_table(evaluation, verbose=False):
    """Return the table of an Evaluation as text: a head, a row for all classes and, if verbose, one for each class."""
    head = f"{'Class':>22}" + "".join(f"{column:>11}" for column in COLUMNS)
    rows = [_row("all", evaluation)]
    if verbose and len(evaluation.per_class) > 1:
        rows += [_row(result.name, result) for result in evaluation.per_class]
    return "\n".join((head, *rows))


def _row(name, result):
    """Return one line of the table."""
    shares = (result.precision, result.recall, result.map50, result.map)
    return f"{name:>22}{result.images:>11}{result.instances:>11}" + "".join(f"{share:>11.3g}" for share in shares)


def format_speed(speed, shape):
    """Return the line that says how many milliseconds each of STAGES took an image, for batches of `shape`."""
    times = ", ".join(f"{ms:.1f}ms {stage}" for ms, stage in zip(speed, STAGES))
    return f"Speed: {times} per image at shape {tuple(shape)}"
