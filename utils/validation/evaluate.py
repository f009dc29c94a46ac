"""Run a detector over labelled images and measure it: precision, recall, mAP, losses, speed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from utils.boxes.geometry import import_nms, non_max_suppression, scale_boxes, xywhn2xyxy
from utils.boxes.metrics import ConfusionMatrix, Scores, fitness, match, score
from utils.progress import track

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
    matched: list[tuple[torch.Tensor, ...]]  # of each image, see Tally
    confusion: ConfusionMatrix | None

    @property
    def fitness(self) -> float:
        """Number by which checkpoints are ranked."""
        return fitness(self.map50, self.map)


class Stopwatch:
    """Context manager that adds up the seconds spent inside it, waiting for a CUDA device to finish."""

    def __init__(
        self, device: str | torch.device | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Measure with `clock`, a callable that returns seconds."""
        self.device = None if device is None else torch.device(device)
        self.clock, self.seconds = clock, 0.0

    def now(self) -> float:
        """Return the clock's seconds after all queued work."""
        if self.device and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock()

    def __enter__(self) -> "Stopwatch":
        """Start."""
        self.start = self.now()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop and add."""
        self.seconds += self.now() - self.start


@contextmanager
def evaluation_mode(model: object) -> Iterator[None]:
    """Put a module into evaluation mode and back; leave any other callable alone."""
    module = model if isinstance(model, nn.Module) and model.training else None
    if module:
        module.eval()
    try:
        yield
    finally:
        if module:
            module.train()


class Tally:
    """Collects the matched detections of all images, and counts them in a ConfusionMatrix if it is given one."""

    def __init__(self, confusion: ConfusionMatrix | None = None) -> None:
        """Start empty."""
        self.images, self.confusion = 0, confusion
        self.parts: list[tuple[torch.Tensor, ...]] = []  # of each image: correct [n, t], score, class, class of labels

    def add(self, detections: torch.Tensor, labels: torch.Tensor) -> None:
        """Add one image: detections [n, 6] xyxy, score, class; labels [m, 5] class, xyxy, in the same units."""
        self.images += 1
        self.parts.append((match(detections, labels), detections[:, 4], detections[:, 5], labels[:, 0]))
        if self.confusion is not None:
            self.confusion.add(detections, labels)

    def add_batch(
        self, detections: Sequence[torch.Tensor], targets: torch.Tensor, loaded: Sequence[int], shapes: Sequence[Any]
    ) -> None:
        """Add a list of detections in pixels of loaded images (height, width), with targets and shapes as collated."""
        for image, (found, shape) in enumerate(zip(detections, shapes, strict=True)):
            self.add(*in_original(found, targets[targets[:, 0] == image, 1:], loaded, shape))

    def scores(self) -> Scores:
        """Return the `Scores` of all images added."""
        return score(*(torch.cat(part).numpy() for part in zip(*self.parts, strict=True)))


@dataclass(frozen=True)
class Findings:
    """What `collect` found on its batches."""

    tally: Tally
    ends: list[int]  # images that were done after each batch
    losses: list[torch.Tensor]  # [3] box, objectness, class of each batch
    seconds: list[float]  # for each of STAGES


class TimedDetector:
    """A detector and the suppression behind it, with a Stopwatch for each of STAGES."""

    def __init__(
        self,
        model: Callable[..., Any],
        device: torch.device,
        *,
        conf: float = 0.001,
        iou: float = 0.6,
        max_det: int = 300,
        single_cls: bool = False,
        augment: bool = False,
        keep_raw: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """conf, iou, max_det: limits of non_max_suppression; keep_raw: return it; for the rest see `evaluate`."""
        import_nms()  # not on the clock
        self.model, self.device, self.single_cls, self.keep_raw = model, device, single_cls, keep_raw
        # The maps of one image stay in a CPU's caches, those of a batch do not.
        self.at_once = (getattr(model, "batch", None) or 1) if device.type == "cpu" else None
        self.passed_on = {"augment": True} if augment else {}
        self.suppress = partial(non_max_suppression, conf=conf, iou=iou, max_det=max_det, agnostic=single_cls)
        self.watches = [Stopwatch(device, clock) for _ in STAGES]

    def __call__(self, images: torch.Tensor) -> tuple[list[torch.Tensor], Any]:
        """Return (detections, raw) for images uint8 [B, 3, H, W].

        detections: a list of [n, 6] on the CPU in pixels; raw: what the model gives beside predictions, if it is kept.
        """
        parts = [self.detect(part) for part in images.split(self.at_once or len(images))]
        raw = [torch.cat(maps) for maps in zip(*(maps for _, maps in parts))] if self.keep_raw else None
        return [found for detections, _ in parts for found in detections], raw

    def detect(self, images: torch.Tensor) -> tuple[list[torch.Tensor], Any]:
        """Return the same for images that run at once."""
        with self.watches[0]:
            inputs = images.to(self.device, non_blocking=True).float() / 255
        with self.watches[1]:
            predictions, raw = split_output(self.model(inputs, **self.passed_on))
        with self.watches[2]:
            detections = self.suppress(predictions)
        detections = [found.cpu() for found in detections]
        if self.single_cls:
            for found in detections:
                found[:, 5] = 0
        return detections, raw if self.keep_raw else None


def evaluate(model: Callable[..., Any], loader: Iterable[Any], *, names: dict[int, str], **options: Any) -> Evaluation:
    """Return the Evaluation of a detector on a loader's images; options: those of `collect`."""
    return summarise(collect(model, loader, names=names, **options), names)


@torch.no_grad()
def collect(
    model: Callable[..., Any],
    loader: Iterable[Any],
    *,
    names: dict[int, str],
    device: str | torch.device,
    single_cls: bool = False,
    half: bool = False,
    loss: Callable[..., Any] | None = None,
    confusion: bool = False,
    observer: Callable[..., Any] | None = None,
    progress: bool = True,
    share: tuple[int, int] = (0, 1),
    **options: Any,
) -> Findings:
    """Return the Findings of a detector on a loader's images. Boxes are compared in pixels of the original images.

    Args:
        model: callable on images [B, 3, H, W] from 0 to 1 (`augment=True` is passed on when asked for), which returns
            predictions [B, N, 5 + nc] as `non_max_suppression` takes them, or (predictions, raw training output).
        loader: yields (images uint8 [B, 3, H, W], targets [N, 6], paths, shapes) as utils.data.loader.collate.
        single_cls: the labels all have class 0; predicted classes are ignored.
        half: compute in float16 by autocast; the model's own weights stay as they are.
        loss: callable (raw, targets) → (total, parts); adds losses to the result.
        confusion: also count the confusion matrix.
        observer: called as observer(batch_index, images, targets, paths, shapes, detections) after each batch, with the
            images as loaded and a list of detections [n, 6] on the CPU in pixels of the loaded images.
        progress: show how far it is.
        share: (rank, processes) when these take the batches in turns; for the number that the observer gets.
        options: conf, iou, max_det, augment and clock of TimedDetector.
    """
    device = torch.device(device)
    detector = TimedDetector(model, device, single_cls=single_cls, keep_raw=loss is not None, **options)
    tally = Tally(ConfusionMatrix(1 if single_cls else len(names)) if confusion else None)
    losses, ends = [], []
    rank, processes = share
    batches = track(loader, "validating", unit="batches", shown=progress)
    with evaluation_mode(model), torch.autocast(device.type, torch.float16, enabled=half):
        for index, (images, targets, paths, shapes) in enumerate(batches):
            detections, raw = detector(images)
            if loss is not None:
                losses.append(loss(raw, targets.to(device))[1].cpu())
            tally.add_batch(detections, targets, images.shape[2:], shapes)
            ends.append(tally.images)
            if observer is not None:
                observer(index * processes + rank, images, targets, paths, shapes, detections)
    return Findings(tally, ends, losses, [watch.seconds for watch in detector.watches])


def split_output(output: Any) -> tuple[torch.Tensor, Any]:
    """Return (predictions, raw or None) of what a detector gave."""
    predictions, raw = output if isinstance(output, (tuple, list)) else (output, None)
    return predictions, raw


def in_original(
    detections: torch.Tensor, labels: torch.Tensor, loaded: Sequence[int], shape: Any
) -> tuple[torch.Tensor, torch.Tensor]:
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


def summarise(found: Findings, names: dict[int, str]) -> Evaluation:
    """Return the Evaluation of what was found."""
    tally = found.tally
    scores = tally.scores()
    rows = [
        ClassResult(
            int(index), names[int(index)], tally.images, int(count), float(p), float(r), float(ap[0]), float(ap.mean())
        )
        for index, count, p, r, ap in zip(scores.classes, scores.instances, scores.precision, scores.recall, scores.ap)
    ]
    means = np.mean([(row.precision, row.recall, row.map50, row.map) for row in rows], 0) if rows else np.zeros(4)
    precision, recall, map50, map_ = map(float, means)
    return Evaluation(
        precision=precision,
        recall=recall,
        map50=map50,
        map=map_,
        per_class=rows,
        images=tally.images,
        instances=int(scores.instances.sum()),
        losses=tuple(torch.stack(found.losses).mean(0).tolist()) if found.losses else None,
        speed=tuple(1000 * s / tally.images for s in found.seconds),
        scores=scores,
        matched=tally.parts,
        confusion=tally.confusion,
    )


def format_table(evaluation: Evaluation, verbose: bool = False) -> str:
    """Return the table of an Evaluation as text: a head, a row for all classes and, if verbose, one for each class."""
    head = f"{'Class':>22}" + "".join(f"{column:>11}" for column in COLUMNS)
    rows = [_row("all", evaluation)]
    if verbose and len(evaluation.per_class) > 1:
        rows += [_row(result.name, result) for result in evaluation.per_class]
    return "\n".join((head, *rows))


def _row(name: str, result: Evaluation | ClassResult) -> str:
    """Return one line of the table."""
    shares = (result.precision, result.recall, result.map50, result.map)
    return f"{name:>22}{result.images:>11}{result.instances:>11}" + "".join(f"{share:>11.3g}" for share in shares)


def format_speed(speed: Sequence[float], shape: Sequence[int]) -> str:
    """Return the line that says how many milliseconds each of STAGES took an image, for batches of `shape`."""
    times = ", ".join(f"{ms:.1f}ms {stage}" for ms, stage in zip(speed, STAGES))
    return f"Speed: {times} per image at shape {tuple(shape)}"
