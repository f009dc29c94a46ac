"""Which channels of a network may go, and which have to go together.

The network is traced once with torch.fx and walked with vectors of channel labels in place of tensors. A
convolution gives its outputs fresh labels; batch norm, activations, pooling and resizing pass them on; a concat joins
vectors; an addition makes the two labels at each index the same; a depth-wise convolution passes its input's labels on;
what only moves numbers is followed number by number (moves.py). Whatever is not understood freezes the labels that it
touches: never cut, and named with the reason. No layer name is known here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import fx

from models.yolo import DetectionModel
from utils.errors import InputError
from utils.pruning.channels.labels import Carried, Layer
from utils.pruning.channels.layers import LayerBook
from utils.pruning.channels.tracer import ChannelTracer
from utils.pruning.channels.tracing import ChannelWalk


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are decided about together: label k stands for one channel of each member layer."""

    name: str  # its first convolution
    labels: np.ndarray  # [width] labels
    members: tuple[str, ...]  # convolutions whose outputs these are
    norms: tuple[str, ...]  # batch norms that act on them
    protected: str | None  # why none of them may be cut, or None
    ties: tuple[str, ...] = ()  # what ties the members: additions, products, shared weights

    @property
    def width(self) -> int:
        """Number of independent channels."""
        return len(self.labels)

    def __str__(self) -> str:
        state = f"protected: {self.protected}" if self.protected else "free"
        tied = f", tied by {' and '.join(self.ties)} to {', '.join(self.members[1:])}" if self.ties else ""
        return f"{self.name}: {self.width} channels{tied} ({state})"


@dataclass
class ChannelGraph:
    """All layers with channels, and their groups."""

    layers: dict[str, Layer]
    groups: list[ChannelGroup]
    frozen: dict[int, str] = field(default_factory=dict)  # label → why
    behind: dict[str, tuple] = field(
        default_factory=dict
    )  # convolution → (batch norm right behind it, its first channel there)
    loose: dict[str, Carried] = field(default_factory=dict)  # parameter or buffer that no layer has → its channels

    @property
    def free_groups(self) -> "list[ChannelGroup]":
        """Groups that may be cut."""
        return [group for group in self.groups if not group.protected]

    def protect(self, patterns: Iterable[str], reason: str = "asked for by") -> None:
        """Protect the groups that have a layer whose name matches a pattern (as of fnmatch), or lies below one.

        reason: how messages call the wish, before the pattern. Raises InputError for a pattern that matches nothing.
        """
        for pattern in patterns:
            matching = [name for name in self.layers if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")]
            hit = [i for i, group in enumerate(self.groups) if {*group.members, *group.norms}.intersection(matching)]
            if not hit:
                raise InputError(f"{pattern}: matches no layer; names look like {self.groups[0].name}")
            for i in hit:
                why = self.groups[i].protected or f"{reason} {pattern}"
                self.groups[i] = replace(self.groups[i], protected=why)

    def prunable_channels(self) -> int:
        """Return how many outputs of convolutions may go, tied ones each counted: percents of a budget are of it."""
        return sum(int(counts.sum()) for counts in self.channel_counts().values())

    def channel_counts(self) -> dict[str, np.ndarray]:
        """Return {free group: [width] how many convolution outputs go with each channel}."""
        return {group.name: self.count_outputs(group) for group in self.free_groups}

    def count_outputs(self, group: Any) -> np.ndarray:
        """Return [width]: how many convolution outputs each label of a group stands for."""
        counts = dict.fromkeys(group.labels.tolist(), 0)
        for member in group.members:
            for label in self.layers[member].outputs.tolist():
                counts[label] += 1
        return np.array(list(counts.values()))


def trace_channels(model: Any, image_size: int | None = None, channels: int = 3) -> ChannelGraph:
    """Return the ChannelGraph of a network that takes one image batch [B, channels, H, W].

    image_size: side of the image it is run on (default: 64, or twice the largest stride if that is more).
    """
    stride = getattr(model, "stride", None)
    size = image_size or max(64, 2 * int(stride.max()) if stride is not None else 0)
    first = next(model.parameters())
    return trace_on(model, torch.zeros(1, channels, size, size, device=first.device, dtype=first.dtype))


def trace_on(model: Any, example: torch.Tensor, whole_groups: bool | None = None) -> ChannelGraph:
    """Return the ChannelGraph of a network that takes a batch [1, C, H, W] like the example.

    whole_groups: what a convolution in groups loses, whole ones or the same places of all; None: whichever is finer.
    Raises what torch.fx raises for code that it cannot follow.
    """
    training = model.training
    try:
        own = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
        book = LayerBook(example.shape[-2:].numel(), whole_groups)
        walk = ChannelWalk(traced_network(model.eval()), book, own)
        with torch.no_grad():
            walk.run(example)
    finally:
        model.train(training)
    behind = {name: place for name, place in walk.behind.items() if place}
    return collect(book, behind)


def traced_network(model: Any) -> Any:
    """Return the fx.GraphModule of a network, its layers shared with it."""
    tracer = ChannelTracer()
    tracer.traced_func_name = "run_layers" if isinstance(model, DetectionModel) else "forward"
    graph = tracer.trace(model)
    traced = fx.GraphModule(model, graph)
    graph.eliminate_dead_code()  # what a module left behind that turned out not to be traceable
    return traced


def collect(book: Any, behind: Any) -> ChannelGraph:
    """Return the ChannelGraph of a LayerBook."""
    labels, layers = book.labels, book.layers
    frozen: dict[int, str] = {}
    for label, reason in labels.reasons.items():
        frozen.setdefault(labels.root(label), reason)
    for layer in layers.values():
        layer.inputs, layer.outputs = labels.roots(layer.inputs), labels.roots(layer.outputs)
    loose = {name: Carried(found.axis, labels.roots(found.vector)) for name, found in book.loose.items()}
    return ChannelGraph(layers, group_layers(layers, frozen, labels.ties), frozen, behind, loose)


def group_layers(layers: Any, frozen: Any, ties: Any) -> Any:
    """Return the ChannelGroups: convolutions joined whenever they share a label, in the order of the network."""
    owner: dict[int, Any] = {}
    groups: list[Any] = []  # label → group number; group number → convolution names (None when merged away)
    for layer in layers.values():
        if layer.is_norm or layer.depthwise:
            continue
        touched = sorted({owner[label] for label in layer.outputs.tolist() if label in owner})
        target = touched[0] if touched else len(groups)
        if not touched:
            groups.append([])
        for other in touched[1:]:
            groups[target] += groups[other]
            owner.update({label: target for label, group in owner.items() if group == other})
            groups[other] = None
        groups[target].append(layer.name)
        owner.update(dict.fromkeys(layer.outputs.tolist(), target))
    return [make_group(members, layers, frozen, ties) for members in groups if members]


def make_group(members: Any, layers: Any, frozen: Any, ties: Any) -> Any:
    """Return the ChannelGroup of some convolutions; one frozen channel protects the whole group."""
    labels = np.array(list(dict.fromkeys(label for name in members for label in layers[name].outputs.tolist())))
    known = set(labels.tolist())
    reasons = [frozen[label] for label in labels.tolist() if label in frozen]
    acting = [layer for layer in layers.values() if known.intersection(layer.outputs.tolist())]
    depthwise = tuple(layer.name for layer in acting if layer.depthwise)
    norms = tuple(layer.name for layer in acting if layer.is_norm)
    how = tuple(sorted(set().union(*(ties.get(label, ()) for label in known))))
    return ChannelGroup(members[0], labels, (*members, *depthwise), norms, reasons[0] if reasons else None, how)
