"""How sure the difference of two mAPs on the same images is: a paired bootstrap over the images (Efron 1979)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from utils.boxes.metrics import average_precision

DRAWS = 100
CERTAINTY = 1.96  # standard deviations on either side: an interval of 95 %

Matched = tuple[torch.Tensor, ...]  # of one image: correct bool [n, t], score [n], class [n], labels' class [m]


@dataclass(frozen=True)
class Change:
    """How a mean over classes of average precision differs from another one, with its 95 % interval."""

    value: float  # second less first
    margin: float  # the interval is value ± margin

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the interval."""
        return self.value - self.margin, self.value + self.margin


def map_changes(
    first: Sequence[Matched], second: Sequence[Matched], draws: int = DRAWS, seed: int = 0
) -> tuple[Change, Change]:
    """Return the Changes of mAP50 and mAP50-95 from one detector to another.

    The same images are drawn for both, with replacement: what is hard for both adds no noise.

    Args:
        first, second: what was matched on each image, in the same order, as utils.validation.evaluate.Tally keeps it.
        draws: how often the images are drawn.
    """
    count, rng = len(first), np.random.default_rng(seed)
    pair = [WeightedMap(matched) for matched in (first, second)]
    whole = np.ones(count)
    value = pair[1].of(whole) - pair[0].of(whole)
    found = []
    for _ in range(draws):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        found.append(pair[1].of(times) - pair[0].of(times))
    margin = CERTAINTY * np.std(found, axis=0, ddof=1)
    return Change(float(value[0]), float(margin[0])), Change(float(value[1]), float(margin[1]))


class WeightedMap:
    """The mAP of a detector when each image counts so many times; the detections are sorted once."""

    def __init__(self, matched: Sequence[Matched]) -> None:
        """Take what was matched on each image."""
        images = [np.full(len(part[1]), index) for index, part in enumerate(matched)]
        owners = [np.full(len(part[3]), index) for index, part in enumerate(matched)]
        correct, scores, predicted, actual = (torch.cat(column).numpy() for column in zip(*matched, strict=True))
        order = np.argsort(-scores, kind="stable")
        image, correct, predicted = np.concatenate(images)[order], correct[order], predicted[order]
        owner = np.concatenate(owners)
        self.classes = [
            (image[predicted == each], correct[predicted == each], owner[actual == each]) for each in np.unique(actual)
        ]

    def of(self, times: np.ndarray) -> np.ndarray:
        """Return [mAP50, mAP50-95] over the classes that have labels, when image i counts times[i] times."""
        found = []
        for image, correct, owner in self.classes:
            labels, weights = times[owner].sum(), times[image]
            if not labels:
                continue
            there = weights > 0
            hits = (correct[there] * weights[there, None]).cumsum(0)
            precision, recall = hits / weights[there].cumsum()[:, None], hits / labels
            found.append([average_precision(r, p) for r, p in zip(recall.T, precision.T)] if len(hits) else [0.0])
        ap50, ap = [row[0] for row in found], [np.mean(row) for row in found]
        return np.array([np.mean(ap50), np.mean(ap)]) if found else np.zeros(2)
