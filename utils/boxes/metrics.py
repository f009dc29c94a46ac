"""Precision, recall, average precision and the confusion matrix of detections against labels."""

from dataclasses import dataclass

import numpy as np
import torch

from utils.boxes.geometry import box_iou

IOU_THRESHOLDS = torch.linspace(0.5, 0.95, 10)
CONFIDENCES = np.linspace(0, 1, 1000)  # where precision, recall and F1 are sampled
RECALLS = np.linspace(0, 1, 1000)  # where the precision-recall curve is drawn
AP_RECALLS = np.linspace(0, 1, 101)  # where precision is read for the average
SMOOTHING = 0.1  # share of the confidence axis that the F1 curve is averaged over
EPS = 1e-16


def match(detections: torch.Tensor, labels: torch.Tensor, thresholds: torch.Tensor = IOU_THRESHOLDS) -> torch.Tensor:
    """Return which detections are true positives at each IoU threshold, bool [n, t].

    A detection claims the label of its class that it overlaps most; of several that claim one label, the surest wins.

    Args:
        detections: [n, 6] xyxy, score, class, best score first, as `non_max_suppression` gives them.
        labels: [m, 5] class, xyxy, in the same units.
        thresholds: [t] least IoU.
    """
    correct = torch.zeros(len(detections), len(thresholds), dtype=torch.bool)
    if not len(detections) or not len(labels):
        return correct
    best, claimed = claim(detections, labels)
    for column, threshold in enumerate(thresholds):
        sure = (best >= threshold).nonzero()[:, 0]
        _, first = np.unique(claimed[sure].numpy(), return_index=True)
        correct[sure[torch.from_numpy(first)], column] = True
    return correct


def claim(detections: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (IoU [n], index [n]) of the label of its class that each detection overlaps most; IoU −1: there is none.

    detections [n, 6] and labels [m, 5], at least one, as for `match`.
    """
    overlap = box_iou(labels[:, 1:], detections[:, :4])  # [m, n]
    best, claimed = overlap.masked_fill(labels[:, :1] != detections[None, :, 5], -1).max(0)
    return best, claimed


@dataclass(frozen=True)
class Scores:
    """Results of k classes that have labels, in order of class index. Curves are at IoU 0.5."""

    classes: np.ndarray  # [k] class index
    instances: np.ndarray  # [k] labels
    precision: np.ndarray  # [k] at the confidence `best`
    recall: np.ndarray  # [k]
    ap: np.ndarray  # [k, t] one column per IoU threshold
    precision_curve: np.ndarray  # [k, 1000] over CONFIDENCES
    recall_curve: np.ndarray  # [k, 1000] over CONFIDENCES
    pr_curve: np.ndarray  # [k, 1000] precision over RECALLS
    best: float  # confidence of the best mean F1

    @property
    def f1_curve(self) -> np.ndarray:
        """Harmonic mean of precision and recall over CONFIDENCES, [k, 1000]."""
        return harmonic_mean(self.precision_curve, self.recall_curve)


def score(correct: np.ndarray, confidence: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> Scores:
    """Return the `Scores` of all detections of a data set.

    AP is the area under the envelope of precision over recall, sampled at 101 recalls (COCO) and integrated by the
    trapezoid rule. Precision and recall are read at the confidence where F1, averaged over classes and smoothed, is
    best.

    Args:
        correct: bool [n, t] from `match`.
        confidence: [n].
        predicted: [n] class of each detection.
        actual: [m] class of each label.
    """
    order = np.argsort(-confidence, kind="stable")
    correct, confidence, predicted = correct[order], confidence[order], predicted[order]
    classes, instances = np.unique(actual, return_counts=True)
    precision_curve, recall_curve, pr_curve = np.zeros((3, len(classes), len(CONFIDENCES)))
    ap = np.zeros((len(classes), correct.shape[1]))
    for row, (index, labels) in enumerate(zip(classes, instances)):
        own = predicted == index
        if not own.any():
            continue
        hits = correct[own].cumsum(0)  # [d, t]
        recall = hits / labels
        precision = hits / np.arange(1, len(hits) + 1)[:, None]
        falling = -confidence[own]
        recall_curve[row] = np.interp(-CONFIDENCES, falling, recall[:, 0], left=0)
        precision_curve[row] = np.interp(-CONFIDENCES, falling, precision[:, 0], left=1)
        pr_curve[row] = np.interp(RECALLS, *envelope(recall[:, 0], precision[:, 0]))
        ap[row] = [average_precision(r, p) for r, p in zip(recall.T, precision.T)]
    mean_f1 = harmonic_mean(precision_curve, recall_curve).mean(0) if len(classes) else np.zeros(len(CONFIDENCES))
    best = smooth(mean_f1).argmax()
    return Scores(
        classes.astype(int),
        instances,
        precision_curve[:, best],
        recall_curve[:, best],
        ap,
        precision_curve,
        recall_curve,
        pr_curve,
        float(CONFIDENCES[best]),
    )


def harmonic_mean(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Return F1, zero where both are zero."""
    return 2 * precision * recall / (precision + recall + EPS)


def envelope(recall: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision [d + 2] from (0, 1) to (1, 0), with the best precision at any higher recall."""
    recall = np.concatenate(([0.0], recall, [1.0]))
    precision = np.concatenate(([1.0], precision, [0.0]))
    return recall, np.maximum.accumulate(precision[::-1])[::-1]


def average_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """Return the area under the envelope of precision [d] over recall [d], both in order of falling confidence."""
    heights = np.interp(AP_RECALLS, *envelope(recall, precision))
    return ((heights[:-1] + heights[1:]) / 2).mean()


def smooth(curve: np.ndarray, share: float = SMOOTHING) -> np.ndarray:
    """Return a curve [n] as its moving average over `share` of its length; the ends are continued by their values."""
    half = round(len(curve) * share / 2)
    padded = np.pad(curve, half, mode="edge")
    return np.convolve(padded, np.ones(2 * half + 1) / (2 * half + 1), mode="valid")


def fitness(map50: float, map: float) -> float:
    """Return the number by which checkpoints are ranked: mAP50-95 with a tenth of mAP50."""
    return 0.1 * map50 + 0.9 * map


class ConfusionMatrix:
    """Counts of predicted (row) against actual (column) classes; the last row and column are the background.

    Boxes are paired whatever their class, greatest IoU first, each once.
    """

    def __init__(self, nc: int, conf: float = 0.25, iou: float = 0.45) -> None:
        """Count detections above `conf`, paired with labels at an IoU above `iou`."""
        self.matrix = np.zeros((nc + 1, nc + 1), dtype=int)
        self.nc, self.conf, self.iou = nc, conf, iou

    def add(self, detections: torch.Tensor, labels: torch.Tensor) -> None:
        """Count one image: detections [n, 6] xyxy, score, class; labels [m, 5] class, xyxy, in the same units."""
        detections = detections[detections[:, 4] > self.conf]
        predicted, actual = detections[:, 5].int().numpy(), labels[:, 0].int().numpy()
        overlap = box_iou(labels[:, 1:], detections[:, :4]).numpy()  # [m, n]
        free_labels, free_detections = set(range(len(actual))), set(range(len(predicted)))
        pairs = np.argwhere(overlap > self.iou)
        for label, detection in pairs[np.argsort(-overlap[tuple(pairs.T)], kind="stable")]:
            if label in free_labels and detection in free_detections:
                free_labels.remove(label)
                free_detections.remove(detection)
                self.matrix[predicted[detection], actual[label]] += 1
        for label in free_labels:
            self.matrix[self.nc, actual[label]] += 1
        for detection in free_detections:
            self.matrix[predicted[detection], self.nc] += 1
