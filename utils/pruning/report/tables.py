"""What a cut did, as text: channels before and after of every layer, and the totals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.choice.costs import NetworkCost
from utils.pruning.structure.branches import channels_of


@dataclass(frozen=True)
class Totals:
    """Size and accuracy of one network; the accuracies are None when it was not validated."""

    name: str
    parameters: int
    gflops: float
    bytes: int
    map50: float | None = None
    map: float | None = None
    ms: float | None = None  # an image, on the CPU


def totals(
    name: str, model: DetectionModel, image_size: int, size: int, evaluation: Any = None, ms: float | None = None
) -> Totals:
    """Return the Totals of a model at an image size (pixels) whose checkpoint has `size` bytes; ms: measured time."""
    map50, map_ = (evaluation.map50, evaluation.map) if evaluation else (None, None)
    return Totals(name, count_parameters(model), count_gflops(model, image_size), size, map50, map_, ms)


def group_table(graph: ChannelGraph, model: DetectionModel, image_size: int) -> str:
    """Return the table of the channel groups: width, what hangs on one channel (their mean), members and ties."""
    ledgers = [NetworkCost.parameters(graph, model).ledger(), NetworkCost.flops(graph, model, image_size).ledger()]
    wide = max(len(group.name) for group in graph.groups)
    lines = [
        f"{'group':<{wide}}{'channels':>10}{'a channel: parameters':>23}{f'MFLOPs@{image_size}':>12}  members and ties"
    ]
    for group in graph.groups:
        parameters, flops = (
            np.mean([ledger.gain(group.name, np.array([c])) for c in range(group.width)]) for ledger in ledgers
        )
        hanging = f"{'-':>23}{'-':>12}" if group.protected else f"{parameters:23,.0f}{flops / 1e6:12.3f}"
        lines.append(f"{group.name:<{wide}}{group.width:>10}{hanging}  {ties(graph, group)}")
    return "\n".join(lines)


def ties(graph: ChannelGraph, group: Any) -> str:
    """Return in words what else belongs to a group, why, and why it may not be cut."""
    depthwise = [name for name in group.members if graph.layers[name].depthwise]
    added = [name for name in group.members[1:] if name not in depthwise]
    words = [f"protected: {group.protected}"] if group.protected else []
    words += [f"tied by {' and '.join(group.ties)} to {', '.join(added)}"] if added else []
    words += [f"depth-wise behind it: {', '.join(depthwise)}"] if depthwise else []
    return "; ".join(words) or "alone"


def channel_table(graph: ChannelGraph, before: DetectionModel, after: DetectionModel) -> str:
    """Return the table of output channels of every convolution of two networks, `after` the narrower one."""
    names = [layer.name for layer in graph.layers.values() if layer.is_conv]
    protected = {name: group.protected for group in graph.groups for name in group.members}
    wide = max(map(len, names))
    lines = [f"{'layer':<{wide}}  before   after    kept"]
    for name in names:
        old, new = (channels_of(model, name) for model in (before, after))
        note = f"  protected: {protected[name]}" if protected[name] else ""
        lines.append(f"{name:<{wide}}{old:8}{new:8}{new / old:8.0%}{note}")
    return "\n".join(lines)


def totals_table(rows: Sequence[Totals], image_size: int) -> str:
    """Return the table of a list of Totals; the second and later ones with their ratio to the first."""
    wide = max(len(row.name) for row in rows)
    lines = [
        f"{'':<{wide}}{'parameters':>14}{f'GFLOPs@{image_size}':>14}{'file MB':>10}"
        f"{'ms':>9}{'mAP50':>9}{'mAP50-95':>10}"
    ]
    for row in rows:
        measured = ((row.ms, 9, 1), (row.map50, 9, 3), (row.map, 10, 3))
        scores = "".join(f"{'-' if value is None else f'{value:.{digits}f}':>{w}}" for value, w, digits in measured)
        lines.append(f"{row.name:<{wide}}{row.parameters:14,}{row.gflops:14.3f}{row.bytes / 1e6:10.2f}{scores}")
    first = rows[0]
    for row in rows[1:]:
        parameters, gflops, size = (
            f"{getattr(row, k) / getattr(first, k):.0%}" for k in ("parameters", "gflops", "bytes")
        )
        time = f"{row.ms / first.ms:.0%}" if row.ms and first.ms else ""
        lines.append(f"{'left':<{wide}}{parameters:>14}{gflops:>14}{size:>10}{time:>9}".rstrip())
    return "\n".join(lines)
