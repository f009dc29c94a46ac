"""Is an exported file the same detector? Its predictions and its mAP against those of the checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import mean

import numpy as np
import torch
from torch.nn import functional

from utils.boxes.geometry import non_max_suppression, xywh2xyxy
from utils.data.config import DataConfig
from utils.data.shapes import draw_image
from utils.runtimes.interface import Runtime, predictions_of
from utils.validation.bootstrap import Change, map_changes
from utils.validation.evaluate import Evaluation, evaluate
from utils.validation.measure import make_validation_loader

COMPARED = 4  # batches of the validation images whose predictions are compared one by one
DRAWN = 3  # images drawn for the comparison when there is no data; one of noise is added
CONFIDENT = 0.25  # score of the predictions that a quantized file is compared on
MAPS = ("mAP50", "mAP50-95")
SMALL_BOX = 8.0  # px; deviations of smaller boxes are shares of this


@dataclass(frozen=True)
class Tolerance:
    """What a file may differ by from its checkpoint.

    box: corner of a box, as a share of the box's longer side; score: objectness or class score; map: either mAP, beyond
    its own noise, or None where the mAP is information: equal boxes and scores are the same detector.
    `average` compares the mean over the confident predictions instead of the largest difference over all.
    """

    box: float
    score: float
    map: float | None = None
    average: bool = False


EXACT = Tolerance(0.0001, 0.0001)
FLOAT = Tolerance(0.001, 0.001)
HALF = Tolerance(0.05, 0.02, 0.001)
INT8 = Tolerance(0.10, 0.10, 0.01, average=True)


@dataclass(frozen=True)
class Deviation:
    """How far a file's predictions are from those of its checkpoint; units as in Tolerance."""

    box: float
    score: float


def comparison_images(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Return images float [n, 3, H, W] from 0 to 1 that need no data: drawn shapes, and one of noise.

    shape: (height, width) in pixels.
    """
    height, width = shape
    side = max(shape)
    drawn = [draw_image(side, [seed, i])[0][:height, :width] for i in range(DRAWN)]
    noise = np.random.default_rng([seed, DRAWN]).integers(0, 256, (height, width, 3), np.uint8)
    pixels = np.stack([*drawn, noise])[..., ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255


def deviation(expected: torch.Tensor, found: torch.Tensor, average: bool = False) -> Deviation:
    """Return the Deviation of predictions `found` [B, N, 5 + nc] from `expected`, see Tolerance for what is compared.

    Infinite when the shapes differ or a number is not finite.
    """
    if expected.shape != found.shape or not found.isfinite().all():
        return Deviation(float("inf"), float("inf"))
    expected, found = expected.flatten(0, 1).double(), found.flatten(0, 1).double()
    if average:
        confident = expected[:, 4] * expected[:, 5:].amax(1) > CONFIDENT
        if confident.any():
            expected, found = expected[confident], found[confident]
    if not len(expected):
        return Deviation(0.0, 0.0)
    size = expected[:, 2:4].amax(1).clamp(min=SMALL_BOX)
    corners = (xywh2xyxy(expected[:, :4]) - xywh2xyxy(found[:, :4])).abs().amax(1) / size
    scores = (expected[:, 4:] - found[:, 4:]).abs().amax(1)
    return Deviation(*(float(part.mean() if average else part.max()) for part in (corners, scores)))


def shortcomings(tolerance: Tolerance, difference: Deviation, changes: Mapping[str, Change] | None = None) -> list[str]:
    """Return in words what of a file breaks the tolerance; empty when nothing does.

    Args:
        difference: Deviation.
        changes: {name of a mAP: its Change}. One breaks the tolerance when all of its interval does.
    """
    pairs = ("boxes", difference.box, tolerance.box), ("scores", difference.score, tolerance.score)
    broken = [
        f"{name} differ by {value:.2g}, more than {limit:g}"
        for name, value, limit in pairs
        if not value <= limit  # "not <=" catches NaN as well
    ]
    if tolerance.map is not None:
        for name, change in (changes or {}).items():
            low, high = change.interval
            if high < -tolerance.map or low > tolerance.map and not tolerance.average:  # eight bits may also gain
                broken.append(f"{name} changes by {low:+.4f} to {high:+.4f}, more than {tolerance.map:g}")
    return broken


class Suppressed(Runtime):
    """A runtime followed by non-maximum suppression, in the form in which files with suppression inside are called."""

    def __init__(self, runtime: Runtime, limits: tuple[float, float, int]) -> None:
        """limits: confidence, IoU, most detections an image."""
        sizes = runtime.size_multiple, runtime.shape, runtime.batch
        super().__init__(runtime.path, runtime.names, *sizes, runtime.device)
        self.runtime, self.limits = runtime, limits

    def __call__(self, images: torch.Tensor, augment: bool = False) -> torch.Tensor:
        """Return what is left of the predictions, as predictions [B, most, 5 + nc]."""
        conf, iou, max_det = self.limits
        found = non_max_suppression(self.runtime(images, augment), conf, iou, multi_label=False, max_det=max_det)
        rows = torch.cat([functional.pad(rows, (1, 0), value=image) for image, rows in enumerate(found)])
        return predictions_of(rows, len(images), self.nc)


@dataclass(frozen=True)
class Report:
    """What the comparison of a file with its checkpoint found."""

    broken: list[str]  # what exceeds the tolerance
    text: str


@torch.no_grad()
def verify(
    reference: Runtime,
    runtime: Runtime,
    tolerance: Tolerance,
    shape: tuple[int, int],
    config: DataConfig | None = None,
    seed: int = 0,
) -> Report:
    """Return the Report of a runtime against the checkpoint that it was made from.

    Args:
        reference, runtime: the checkpoint and the file, see utils.runtimes.runtimes.
        shape: (height, width) in pixels of the images to compare on.
        config: None, or a DataConfig whose validation images the mAP is compared on.
    """
    device = reference.device
    batches, evaluations = [comparison_images(shape, seed)], []
    if config:
        loader = make_validation_loader(runtime, config, "val", max(shape), runtime.batch or 1, 0)
        batches = [batch[0].float() / 255 for batch in islice(loader, COMPARED)]
        evaluations = [evaluate(one, loader, names=config.names, device=device) for one in (reference, runtime)]
    pairs = [(reference(images.to(device)).cpu(), runtime(images)) for images in batches]
    found = [deviation(*pair, tolerance.average) for pair in pairs]
    join = mean if tolerance.average else max
    difference = Deviation(join(one.box for one in found), join(one.score for one in found))
    changes = {}
    if evaluations and tolerance.map is not None:
        expected, exported = evaluations
        changes = dict(zip(MAPS, map_changes(expected.matched, exported.matched)))
    text = parity_line(difference, tolerance) + accuracy_line(evaluations, changes)
    return Report(shortcomings(tolerance, difference, changes), text)


def parity_line(difference: Deviation, tolerance: Tolerance) -> str:
    """Return the comparison of the predictions in words."""
    kind = "on average" if tolerance.average else "at most"
    return (
        f"boxes differ by {kind} {difference.box:.1g} of their side (allowed: {tolerance.box:g}), "
        f"scores by {difference.score:.1g} ({tolerance.score:g})"
    )


def accuracy_line(evaluations: Sequence[Evaluation], changes: Mapping[str, Change]) -> str:
    """Return the comparison of the mAPs in words, with the intervals of the changes; empty without evaluations."""
    if not evaluations:
        return ""
    expected, found = evaluations
    words = []
    for name, before, after in zip(MAPS, (expected.map50, expected.map), (found.map50, found.map)):
        noise = "" if name not in changes else " ({:+.4f} to {:+.4f})".format(*changes[name].interval)
        words.append(f", {name} {before:.4f} → {after:.4f}{noise}")
    return "".join(words) + f" on {expected.images} images"
