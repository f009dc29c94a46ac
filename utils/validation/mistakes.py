"""Photo by photo, what a detector gets wrong that another one got right: labels lost, false positives gained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from utils.boxes.metrics import claim, match
from utils.pictures.drawing import SHOWN_CONF
from utils.validation.evaluate import in_original

IOU = 0.5  # from which a detection and a label are the same object


@dataclass(frozen=True)
class Judged:
    """What a detector made of a photo, in pixels of the original."""

    labels: torch.Tensor  # [m, 5] class, xyxy
    scores: torch.Tensor  # [m] of the detection that found each label, 0 where none did
    false: torch.Tensor  # [k, 6] xyxy, score, class: detections that found no label

    @property
    def found(self) -> torch.Tensor:
        """Which labels were found: bool [m]."""
        return self.scores > 0


def judge(detections: torch.Tensor, labels: torch.Tensor) -> Judged:
    """Return what the detections of a photo above SHOWN_CONF are, as `match` pairs them with labels at IOU.

    Args:
        detections: [n, 6] xyxy in pixels, score, class, best score first. What is under a pixel is not seen as false.
        labels: [m, 5] class, xyxy in pixels.
    """
    sure = detections[detections[:, 4] > SHOWN_CONF]
    correct = match(sure, labels, torch.tensor([IOU]))[:, 0]
    scores = torch.zeros(len(labels))
    if correct.any():
        scores[claim(sure, labels)[1][correct]] = sure[correct, 4]
    visible = (sure[:, 2:4] - sure[:, :2]).amin(1) >= 1
    return Judged(labels, scores, sure[~correct & visible])


class Judge:
    """Observer of utils.validation.evaluate that keeps what a detector made of each photo: {path: Judged}."""

    def __init__(self) -> None:
        """Start empty."""
        self.photos: dict[str, Judged] = {}

    def __call__(
        self,
        index: int,
        images: torch.Tensor,
        targets: torch.Tensor,
        paths: Sequence[str],
        shapes: Sequence[Any],
        detections: Sequence[torch.Tensor],
    ) -> None:
        """Judge the photos of one batch."""
        for image, (path, shape, found) in enumerate(zip(paths, shapes, detections, strict=True)):
            labels = targets[targets[:, 0] == image, 1:]
            self.photos[path] = judge(*in_original(found, labels, images.shape[2:], shape))


@dataclass(frozen=True)
class Mistake:
    """A photo, and what each of two detectors made of it."""

    path: str
    before: Judged
    after: Judged

    @cached_property
    def lost(self) -> torch.Tensor:
        """Which labels only the first one found: bool [m]."""
        return self.before.found & ~self.after.found

    @cached_property
    def gained(self) -> torch.Tensor:
        """Which false positives of the second one are where the first has none of that class: bool [k]."""
        known, found = self.before.false[:, [5, 0, 1, 2, 3]], self.after.false
        return claim(found, known)[0] < IOU if len(known) and len(found) else torch.ones(len(found), dtype=torch.bool)

    @property
    def count(self) -> int:
        """Labels lost and false positives gained."""
        return int(self.lost.sum() + self.gained.sum())

    @property
    def rank(self) -> tuple[int, float, str]:
        """Smallest for the worst photo: by the count, by how sure the first one was of what is lost, by the path."""
        return -self.count, -float(self.before.scores[self.lost].sum()), self.path


def mistakes(before: Mapping[str, Judged], after: Mapping[str, Judged]) -> list[Mistake]:
    """Return the Mistakes of a detector against another one on the photos of both {path: Judged}, the worst first."""
    found = [Mistake(path, before[path], after[path]) for path in before if path in after]
    return sorted((each for each in found if each.count), key=lambda each: each.rank)
