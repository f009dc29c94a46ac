"""The maps of a detector whose file ends before its boxes are decoded, made into boxes with NumPy alone.

This file imports nothing else of the project. Copy it to the device, with the .json beside the exported file: it holds
the Scales.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scales:
    """What turns maps into boxes.

    strides: pixels between the cells of each map; anchors: [w, h] in pixels, of each map and each anchor there.
    """

    strides: Sequence[float]
    anchors: Sequence[Sequence[Sequence[float]]]

    def strings(self) -> dict[str, str]:
        """Return {key: text} for the metadata of a file."""
        return {"strides": str(list(self.strides)), "anchors": str(self.anchors)}


def decode_maps(maps: Sequence[np.ndarray], scales: Scales) -> np.ndarray:
    """Return predictions float32 [B, N, 5 + nc]: cx, cy, w, h in pixels, objectness, class scores.

    maps: one array [B, na·(5 + nc), ny, nx] a scale, of numbers from 0 to 1: behind the sigmoid.
    """
    rows = []
    for values, stride, sizes in zip(maps, scales.strides, scales.anchors, strict=True):
        batch, channels, ny, nx = values.shape
        columns = channels // len(sizes)
        values = values.reshape(batch, len(sizes), columns, ny, nx).astype(np.float32)
        y, x = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
        corner = np.stack((x, y)).astype(np.float32) - np.float32(0.5)
        centre = (values[:, :, :2] * 2 + corner) * np.float32(stride)
        size = (values[:, :, 2:4] * 2) ** 2 * np.asarray(sizes, np.float32)[:, :, None, None]
        decoded = np.concatenate((centre, size, values[:, :, 4:]), 2)
        rows.append(decoded.transpose(0, 1, 3, 4, 2).reshape(batch, -1, columns))
    return np.concatenate(rows, 1)


def suppress(predictions: np.ndarray, confidence: float = 0.25, overlap: float = 0.45) -> np.ndarray:
    """Return the detections [n, 6] of one image, surest first: x1, y1, x2, y2 in pixels, score, class.

    predictions: [N, 5 + nc]; confidence: least score; overlap: IoU above which the weaker box of a class goes.
    """
    classes = predictions[:, 5:].argmax(1)
    scores = predictions[:, 4] * predictions[:, 5:].max(1)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > confidence]
    half = predictions[:, 2:4] / 2
    boxes = np.concatenate((predictions[:, :2] - half, predictions[:, :2] + half), 1)
    area = 4 * half.prod(1)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        common = (high - low).clip(0).prod(1)
        iou = common / (area[best] + area[rest] - common)
        order = rest[(iou <= overlap) | (classes[rest] != classes[best])]
    return np.concatenate((boxes[kept], scores[kept, None], classes[kept, None]), 1)
