"""Which detection scales the boxes of a data set need, judged as the training loss assigns boxes to anchors.

A scale goes for nothing unless something is saved without it, so that is computed too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.boxes.anchors import box_sizes, worst_ratios
from utils.data.labels import Sample
from utils.errors import InputError
from utils.pruning.structure.head import drop_scales, scale_names

ANCHOR_T = 4.0  # largest factor between the sides of a box and of an anchor that predicts it, as in all hyp files
RARELY_BEST = 0.03  # share of the boxes that fit a hardly used scale best, at most
RARELY_ALONE = 0.005  # … and that no anchor of another scale may predict
WORTHWHILE = 0.02  # share of the FLOPs that a scale takes with it, at least, to be advised against


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


@dataclass(frozen=True)
class Saving:
    """What goes with some detection scales, as shares of the whole network."""

    flops: float
    parameters: float


def saving(model: DetectionModel, names: Sequence[str]) -> Saving:
    """Return the Saving of a DetectionModel without the scales of these names, nothing for none."""
    if not names:
        return Saving(0.0, 0.0)
    narrow, _ = drop_scales(model, names)
    return Saving(*(1 - count(narrow) / count(model) for count in (count_gflops, count_parameters)))


def worth_dropping(model: DetectionModel, uses: Sequence[ScaleUse]) -> list[str]:
    """Return the names of the hardly used scales that each take WORTHWHILE FLOPs with them, beside the others."""
    names = [use.name for use in uses if use.hardly_used]
    for name in list(names):
        others = [other for other in names if other != name]
        if saving(model, names).flops - saving(model, others).flops < WORTHWHILE:
            names = others
    return names


def format_scale_uses(uses: Sequence[ScaleUse], savings: Mapping[str, Saving]) -> str:
    """Return the table of some ScaleUses; savings: {name: Saving} of each, none where the scale is the only one."""
    shown = [" ".join(f"{w:.0f}×{h:.0f}" for w, h in use.anchors) for use in uses]
    wide = max(len("anchors in px"), *map(len, shown))
    lines = [f"scale  stride  {'anchors in px':<{wide}}  fits best  matches  only it  its FLOPs  its parameters"]
    for use, anchors in zip(uses, shown):
        shares = f"{use.best:11.1%}{use.matched:9.1%}{use.alone:9.1%}"
        found = savings.get(use.name)
        saved = f"{found.flops:11.1%}{found.parameters:16.1%}" if found else f"{'–':>11}{'–':>16}"
        lines.append(f"{use.name:<7}{use.stride:6}  {anchors:<{wide}}{shares}{saved}")
    return "\n".join(lines)


def advise(model: DetectionModel, uses: Sequence[ScaleUse], times: Callable[[DetectionModel], str]) -> str:
    """Return one sentence: which scales are hardly used, what is saved without them, and the flag that drops them.

    times: called with the narrower network; returns in words what it saves in time, or nothing.
    """
    spare = [use for use in uses if use.hardly_used]
    if not spare or len(uses) == 1:
        return "every scale is used: none should be dropped"
    if len(spare) == len(uses):  # boxes that no anchor fits
        return "hardly a box fits any scale: the anchors do not suit this data at this image size"
    reasons = "; ".join(f"{u.name} fits {u.best:.1%} of the boxes best, {u.alone:.1%} fit nothing else" for u in spare)
    names = worth_dropping(model, uses)
    if not names:
        saved = saving(model, [use.name for use in spare])
        return f"hardly used: {reasons}. But only {saved.flops:.1%} of the FLOPs would go: not worth it"
    saved, flag = saving(model, names), ",".join(names)
    gain = f"{saved.flops:.1%} of the FLOPs and {saved.parameters:.1%} of the parameters go"
    time = times(drop_scales(model, names)[0])
    return f"hardly used: {reasons}. With --drop-scale {flag} {gain}{time}"


def suggest(
    model: DetectionModel,
    samples: Sequence[Sample],
    imgsz: int,
    origin: str,
    latency: Callable[..., Mapping[str, float]] | None = None,
) -> str:
    """Return the table of the scales that a data set uses, and a last line that says in words what may go.

    Args:
        model: DetectionModel; its classes need not be those of the data.
        samples: what the data set holds.
        imgsz: long side of the images in pixels.
        origin: what messages call the data.
        latency: measures what is advised, called as measure_latency is; None: no time is measured.

    Raises InputError when there is not one box.
    """
    shapes = np.array([sample.shape[::-1] for sample in samples]).reshape(-1, 2)
    sizes = box_sizes(shapes, [sample.labels for sample in samples], imgsz)
    sizes = sizes[(sizes > 0).all(1)]
    if not len(sizes):
        raise InputError(f"{origin}: has no box, so nothing can be said about scales")
    uses = scale_uses(model, sizes)
    savings = {use.name: saving(model, [use.name]) for use in uses} if len(uses) > 1 else {}

    def times(narrow: DetectionModel) -> str:
        """Return in words how long both networks take."""
        if latency is None:
            return ""
        found = latency({"whole": model, "narrow": narrow}, imgsz)
        return f", {found['whole']:.1f} → {found['narrow']:.1f} ms an image here"

    table = format_scale_uses(uses, savings)
    return f"{len(sizes)} boxes of {origin} at {imgsz} px\n{table}\n{advise(model, uses, times)}"
