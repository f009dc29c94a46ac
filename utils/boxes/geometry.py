"""Arithmetic on boxes: formats, overlap, mapping between image sizes, non-maximum suppression.

Formats: `xyxy` = left, top, right, bottom; `xywh` = centre x, centre y, width, height. Units are pixels, or shares of
the image's width and height where a name ends in `n`. Conversions take NumPy arrays or tensors of shape [..., 4] in a
floating type, leave their input alone and return the same kind.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

Boxes = TypeVar("Boxes", np.ndarray, torch.Tensor)
RatioPad = tuple[tuple[float, float], tuple[float, float]]  # ((ratio_y, ratio_x), (pad_x, pad_y)) of a letterbox

FIRST_TRY = 1_000  # boxes that suppression looks at before it asks for more
MAX_CANDIDATES = 30_000  # boxes that enter non-maximum suppression, best scores first


def _blank(boxes: Boxes) -> Boxes:
    """Return an uninitialised array or tensor like `boxes`."""
    return torch.empty_like(boxes) if isinstance(boxes, torch.Tensor) else np.empty_like(boxes)


def xywh2xyxy(boxes: Boxes) -> Boxes:
    """Convert [..., 4] from centre and size to corners."""
    corners = _blank(boxes)
    half = boxes[..., 2:4] / 2
    corners[..., 0:2] = boxes[..., 0:2] - half
    corners[..., 2:4] = boxes[..., 0:2] + half
    return corners


def xyxy2xywh(boxes: Boxes) -> Boxes:
    """Convert [..., 4] from corners to centre and size."""
    centred = _blank(boxes)
    centred[..., 0:2] = (boxes[..., 0:2] + boxes[..., 2:4]) / 2
    centred[..., 2:4] = boxes[..., 2:4] - boxes[..., 0:2]
    return centred


def xywhn2xyxy(boxes: Boxes, width: int, height: int, pad_x: float = 0.0, pad_y: float = 0.0) -> Boxes:
    """Convert normalised centre and size [..., 4] to corners in pixels of an image, shifted by the padding."""
    corners = xywh2xyxy(boxes)
    corners[..., 0::2] = corners[..., 0::2] * width + pad_x
    corners[..., 1::2] = corners[..., 1::2] * height + pad_y
    return corners


def xyxy2xywhn(boxes: Boxes, width: int, height: int) -> Boxes:
    """Convert corners in pixels [..., 4] to centre and size as shares of a width×height image."""
    centred = xyxy2xywh(boxes)
    centred[..., 0::2] = centred[..., 0::2] / width
    centred[..., 1::2] = centred[..., 1::2] / height
    return centred


def clip(boxes: Boxes, shape: Sequence[int]) -> Boxes:
    """Return xyxy boxes [..., 4] cut to an image of shape (height, width)."""
    height, width = shape[:2]
    inside = _blank(boxes)
    inside[..., 0::2] = boxes[..., 0::2].clip(0, width)
    inside[..., 1::2] = boxes[..., 1::2].clip(0, height)
    return inside


def scale_boxes(
    boxes: Boxes, from_shape: Sequence[int], to_shape: Sequence[int], ratio_pad: RatioPad | None = None
) -> Boxes:
    """Map xyxy boxes [..., 4] from a letterboxed image back to the original one, and cut them to it.

    Shapes are (height, width). `ratio_pad` is ((ratio_y, ratio_x), (pad_x, pad_y)) as the data set gives it; without it
    the letterbox is taken to be centred, with the largest scale that fits.
    """
    if ratio_pad is None:
        gain = min(from_shape[0] / to_shape[0], from_shape[1] / to_shape[1])
        pad_x, pad_y = (from_shape[1] - to_shape[1] * gain) / 2, (from_shape[0] - to_shape[0] * gain) / 2
    else:
        gain = ratio_pad[0][0]
        pad_x, pad_y = ratio_pad[1]
    original = _blank(boxes)
    original[..., 0::2] = (boxes[..., 0::2] - pad_x) / gain
    original[..., 1::2] = (boxes[..., 1::2] - pad_y) / gain
    return clip(original, to_shape)


def box_iou(first: torch.Tensor, second: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """Return the intersection over union [N, M] of xyxy boxes [N, 4] with xyxy boxes [M, 4]."""
    left_top = torch.max(first[:, None, :2], second[None, :, :2])  # [N, M, 2]
    right_bottom = torch.min(first[:, None, 2:], second[None, :, 2:])
    overlap = (right_bottom - left_top).clamp(min=0).prod(2)  # [N, M]
    area_first = (first[:, 2:] - first[:, :2]).prod(1)
    area_second = (second[:, 2:] - second[:, :2]).prod(1)
    return overlap / (area_first[:, None] + area_second[None] - overlap + eps)


def ciou(pred: torch.Tensor, target: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """Return the complete IoU [N] of pairs of xywh boxes [N, 4] (Zheng et al. 2020): IoU less distance and shape.

    The weight of the aspect term is a constant to the gradient, as in the paper.
    """
    corners_p, corners_t = xywh2xyxy(pred), xywh2xyxy(target)
    overlap = torch.min(corners_p[:, 2:], corners_t[:, 2:]) - torch.max(corners_p[:, :2], corners_t[:, :2])
    overlap = overlap.clamp(min=0).prod(1)
    iou = overlap / (pred[:, 2:].prod(1) + target[:, 2:].prod(1) - overlap + eps)
    hull = torch.max(corners_p[:, 2:], corners_t[:, 2:]) - torch.min(corners_p[:, :2], corners_t[:, :2])
    distance = (pred[:, :2] - target[:, :2]).pow(2).sum(1) / (hull.pow(2).sum(1) + eps)
    # atan2 is atan(w / h) without the division: finite, gradient included, for a box of no height.
    angle = torch.atan2(target[:, 2], target[:, 3]) - torch.atan2(pred[:, 2], pred[:, 3])
    aspect = (4 / math.pi**2) * angle.pow(2)
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect + eps)
    return iou - distance - weight * aspect


def non_max_suppression(
    predictions: torch.Tensor,
    conf: float,
    iou: float,
    classes: Iterable[int] | None = None,
    agnostic: bool = False,
    multi_label: bool = True,
    max_det: int = 300,
) -> list[torch.Tensor]:
    """Reduce raw predictions to detections, image by image.

    Args:
        predictions: [B, N, 5 + nc] with cx, cy, w, h in pixels, objectness and class scores from 0 to 1.
        conf: objectness, and objectness times class score, must exceed this.
        iou: of two boxes of one class that overlap more, the one with the lower score goes.
        classes: class indices to keep (all when None).
        agnostic: let boxes suppress each other across classes.
        multi_label: a box may be kept for every class above `conf` (only with more than one class), not just the best.
        max_det: most detections per image.

    Returns:
        A list of B tensors [n, 6]: xyxy in pixels, score, class; float32, best score first.
    """
    multi_label = multi_label and predictions.shape[2] > 6
    wanted = None if classes is None else torch.as_tensor(classes, device=predictions.device)
    return [
        _suppress(image[image[:, 4] > conf].float(), conf, iou, wanted, agnostic, multi_label, max_det)
        for image in predictions
    ]


def _suppress(
    candidates: torch.Tensor,
    conf: float,
    iou: float,
    wanted: torch.Tensor | None,
    agnostic: bool,
    multi_label: bool,
    max_det: int,
) -> torch.Tensor:
    """Return the detections [n, 6] of one image from its float32 candidates [N, 5 + nc]."""
    boxes = xywh2xyxy(candidates[:, :4])
    scores = candidates[:, 5:] * candidates[:, 4:5]  # [N, nc]
    if multi_label:
        rows, labels = (scores > conf).nonzero(as_tuple=True)
        boxes, scores = boxes[rows], scores[rows, labels]
    else:
        scores, labels = scores.max(1)
        sure = scores > conf
        boxes, scores, labels = boxes[sure], scores[sure], labels[sure]
    if wanted is not None:
        chosen = torch.isin(labels, wanted)
        boxes, scores, labels = boxes[chosen], scores[chosen], labels[chosen]
    if not len(boxes):
        return candidates.new_zeros((0, 6))
    scores, order = scores.sort(descending=True)
    scores, order = scores[:MAX_CANDIDATES], order[:MAX_CANDIDATES]
    boxes, labels = boxes[order], labels[order].to(boxes.dtype)
    # One call serves all classes: each is moved to an area of its own, so boxes of different classes never overlap.
    moved = boxes if agnostic else boxes + labels[:, None] * (boxes.max() - boxes.min() + 1)
    kept = first_survivors(moved, scores, iou, max_det)
    return torch.cat((boxes[kept], scores[kept, None], labels[kept, None]), 1)


@cache
def import_nms() -> Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]:
    """Return torchvision's non-maximum suppression for boxes [n, 4], scores [n] and an IoU.

    Only the library that holds it is loaded where that is found: the whole package imports a good part of PyTorch for
    models that nobody asks for, which takes longer than a dozen images.
    """
    package = find_spec("torchvision")
    places = package.submodule_search_locations if package else None
    for library in sorted(file for place in places or () for file in Path(place).glob("_C*.*")):
        with suppress(OSError, AttributeError):  # another build of the package: asked in the usual way below
            torch.ops.load_library(str(library))
            return torch.ops.torchvision.nms.default
    from torchvision.ops import nms

    return nms


def first_survivors(boxes: torch.Tensor, scores: torch.Tensor, iou: float, count: int) -> torch.Tensor:
    """Return the indices of the first `count` boxes that non-maximum suppression keeps; scores [n] must be descending.

    Whether a box stays depends on better ones alone. So the best few are tried first, and more only when too few of
    them stay: what an untrained model predicts would otherwise take quadratic time.
    """
    nms, tried = import_nms(), FIRST_TRY
    while True:
        kept = nms(boxes[:tried], scores[:tried], iou)[:count]
        if len(kept) == count or tried >= len(boxes):
            return kept
        tried *= 4
