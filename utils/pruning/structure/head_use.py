"""Which detection scales the boxes of a data set need, judged as the training loss assigns boxes to anchors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.yolo import DetectionModel
from utils.boxes.anchors import box_sizes, worst_ratios
from utils.errors import InputError
from utils.pruning.structure.head import scale_names

ANCHOR_T = 4.0  # largest factor between the sides of a box and of an anchor that predicts it, as in all hyp files
RARELY_BEST = 0.03  # share of the boxes that fit a hardly used scale best, at most
RARELY_ALONE = 0.005  # … and that no anchor of another scale may predict


@dataclass(frozen=True)
class ScaleUse:
    """How much of a data set one detection scale serves; shares of the boxes."""

    name: str
    stride: int
    anchors: np.ndarray  # [na, 2] pixels
    best: float  # the anchor with the most alike sides is one of these
    matched: float  # at least one of these anchors learns the box
    alone: float  # … and no anchor of another scale does

    @property
    def hardly_used(self) -> bool:
        """Whether the other scales would do for nearly all boxes."""
        return self.best <= RARELY_BEST and self.alone <= RARELY_ALONE


def scale_uses(model: DetectionModel, sizes: np.ndarray, anchor_t: float = ANCHOR_T) -> list[ScaleUse]:
    """Return the ScaleUse of every scale of a DetectionModel for boxes [n, 2] in pixels, n at least 1.

    An anchor learns a box when neither side differs by a factor of anchor_t or more, as the loss assigns targets.
    """
    detect = model.model[-1]
    anchors = (detect.anchors * detect.stride.view(-1, 1, 1)).numpy()  # [nl, na, 2]
    agreement = worst_ratios(sizes, anchors.reshape(-1, 2)).reshape(len(sizes), detect.nl, detect.na).max(2)  # [n, nl]
    matched = agreement > 1 / anchor_t
    best = agreement.argmax(1)
    alone = matched & (matched.sum(1, keepdims=True) == 1)
    return [
        ScaleUse(
            name,
            int(stride),
            anchors[i],
            float((best == i).mean()),
            float(matched[:, i].mean()),
            float(alone[:, i].mean()),
        )
        for i, (name, stride) in enumerate(zip(scale_names(model), detect.stride.tolist()))
    ]


def format_scale_uses(uses: Sequence[ScaleUse]) -> str:
    """Return the table of some ScaleUses, and a last line that says in words what may go."""
    shown = [" ".join(f"{w:.0f}×{h:.0f}" for w, h in use.anchors) for use in uses]
    wide = max(len("anchors in px"), *map(len, shown))
    lines = [f"scale  stride  {'anchors in px':<{wide}}  fits best  matches  only it"]
    for use, anchors in zip(uses, shown):
        shares = f"{use.best:11.1%}{use.matched:9.1%}{use.alone:9.1%}"
        lines.append(f"{use.name:<7}{use.stride:6}  {anchors:<{wide}}{shares}")
    return "\n".join([*lines, advise(uses)])


def advise(uses: Sequence[ScaleUse]) -> Any:
    """Return one sentence: which scales are hardly used, and the flag that drops them."""
    spare = [use for use in uses if use.hardly_used]
    if not spare or len(uses) == 1:
        return "every scale is used: none should be dropped"
    if len(spare) == len(uses):  # boxes that no anchor fits
        return "hardly a box fits any scale: the anchors do not suit this data at this image size"
    names = [use.name for use in spare]
    reasons = "; ".join(f"{u.name} fits {u.best:.1%} of the boxes best, {u.alone:.1%} fit nothing else" for u in spare)
    return f"hardly used: {reasons}. To drop {'it' if len(spare) == 1 else 'them'}: --drop-scale {','.join(names)}"


def suggest(model: DetectionModel, samples: Any, imgsz: int, origin: Any) -> Any:
    """Return the table of the scales that a data set uses, as text.

    Args:
        model: DetectionModel; its classes need not be those of the data.
        samples: list of utils.data.labels.Sample.
        imgsz: long side of the images in pixels.
        origin: what messages call the data.

    Raises InputError when there is not one box.
    """
    shapes = np.array([sample.shape[::-1] for sample in samples]).reshape(-1, 2)
    sizes = box_sizes(shapes, [sample.labels for sample in samples], imgsz)
    sizes = sizes[(sizes > 0).all(1)]
    if not len(sizes):
        raise InputError(f"{origin}: has no box, so nothing can be said about scales")
    return f"{len(sizes)} boxes of {origin} at {imgsz} px\n{format_scale_uses(scale_uses(model, sizes))}"
