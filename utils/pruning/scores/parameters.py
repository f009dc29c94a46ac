"""How much is lost with each channel: scores per channel group. Selection compares them with what is gained."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.errors import InputError
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.scores.from_weights import gamma


class ChannelParameters:
    """Gamma and beta of every batch norm that acts on free channels, as flat vectors [P], and which channel each is of.

    Channels are numbered 0 … count − 1 over all free groups; a position that belongs to a protected channel has the
    number `count` and is never touched.
    """

    def __init__(self, model: DetectionModel, graph: ChannelGraph, groups: Any = None) -> None:
        """groups: which ChannelGroups count as free, default all that may be cut. InputError when none has a norm."""
        self.groups = [group for group in groups or graph.free_groups if group.norms]
        if not self.groups:
            raise InputError(
                "the model has no batch norm on any channel that may go; a fused checkpoint cannot be pruned"
            )
        labels = np.concatenate([group.labels for group in self.groups])
        self.count = len(labels)
        number = dict(zip(labels.tolist(), range(self.count)))
        norms = [layer for layer in graph.layers.values() if layer.is_norm]
        names = [layer.name for layer in norms if not number.keys().isdisjoint(layer.outputs.tolist())]
        self.norms: list[Any] = [model.get_submodule(name) for name in names]
        index = [number.get(label, self.count) for name in names for label in graph.layers[name].outputs.tolist()]
        self.index = torch.tensor(index, device=self.norms[0].weight.device)  # [P]
        self.sizes = [norm.num_features for norm in self.norms]
        self.free = self.index < self.count  # [P]

    def gather(self, values: Any) -> torch.Tensor:
        """Return one flat vector [P] from one tensor per batch norm."""
        return torch.cat([value.detach() for value in values])

    @property
    def gamma(self) -> torch.Tensor:
        """All gammas [P], a copy."""
        return self.gather([norm.weight for norm in self.norms])

    @property
    def loudness(self) -> torch.Tensor:
        """|gamma| + |beta| [P]: zero where nothing passes."""
        return self.gamma.abs() + self.gather([norm.bias for norm in self.norms]).abs()

    def write(self, name: str, flat: torch.Tensor) -> None:
        """Set 'weight' or 'bias' of the batch norms from a flat vector [P]."""
        with torch.no_grad():
            torch._foreach_copy_([getattr(norm, name) for norm in self.norms], list(flat.split(self.sizes)))

    def multiply(self, factor: torch.Tensor) -> None:
        """Multiply gamma and beta by a flat vector [P]."""
        with torch.no_grad():
            factors = list(factor.split(self.sizes))
            for name in ("weight", "bias"):
                torch._foreach_mul_([getattr(norm, name) for norm in self.norms], factors)

    def per_channel(self, flat: torch.Tensor) -> torch.Tensor:
        """Return [count]: the sum of a flat vector [P] over the places of each channel."""
        return flat.new_zeros(self.count + 1).index_add_(0, self.index, flat)[: self.count]

    def per_place(self, channels: torch.Tensor, fill: float) -> torch.Tensor:
        """Return the flat vector [P] with each place's value of a vector [count]; `fill` at protected places."""
        return torch.cat((channels, channels.new_full((1,), fill)))[self.index]

    def by_group(self, channels: torch.Tensor) -> dict[str, np.ndarray]:
        """Return {group name: [width] numpy} of a vector [count]."""
        parts = channels.detach().double().cpu().split([group.width for group in self.groups])
        return {group.name: part.numpy() for group, part in zip(self.groups, parts)}

    def from_groups(self, values: Mapping[str, np.ndarray]) -> torch.Tensor:
        """Return the vector [count] of {group name: [width] numpy}."""
        return torch.from_numpy(np.concatenate([values[group.name] for group in self.groups])).to(self.index.device)


def aggregate(graph: ChannelGraph, by_layer: Mapping[str, torch.Tensor], way: str = "sum") -> dict[str, np.ndarray]:
    """Return {free group: [width] numpy}: the scores of all outputs that share a channel, joined.

    by_layer: {layer: [c_out] scores of its outputs}; way: one of recipe.AGGREGATES. Groups without any score
    are left out.
    """
    groups = [group for group in graph.free_groups if {*group.members, *group.norms}.intersection(by_layer)]
    if not groups:
        return {}
    labels = [label for group in groups for label in group.labels.tolist()]
    number = dict(zip(labels, range(len(labels))))
    names = [name for name in by_layer if name in graph.layers]
    index = np.array(
        [number.get(label, len(labels)) for name in names for label in graph.layers[name].outputs.tolist()]
    )
    values = np.concatenate([np.asarray(by_layer[name], dtype=float) for name in names])
    joined = np.zeros(len(labels) + 1)
    if way == "max":
        np.maximum.at(joined, index, values)
    else:
        np.add.at(joined, index, values**2 if way == "l2" else values)
    if way == "l2":
        joined = np.sqrt(joined)
    if way == "mean":
        joined /= np.maximum(np.bincount(index, minlength=len(joined)), 1)
    parts = np.split(joined[:-1], np.cumsum([group.width for group in groups])[:-1])
    return {group.name: part for group, part in zip(groups, parts)}


def gamma_scores(model: DetectionModel, graph: ChannelGraph) -> dict[str, np.ndarray]:
    """Return {group name: [width] sum of |gamma| over the batch norms that act on each channel} (Liu et al. 2017).

    Groups without a batch norm have no score and stay whole. Raises InputError when nothing can be scored.
    """
    ChannelParameters(model, graph)  # raises when there is no batch norm
    return check_finite(aggregate(graph, gamma(model, graph)), "gamma")


def check_finite(scores: Mapping[str, np.ndarray], source: str) -> Any:
    """Return scores {group: [width]}, made of `source`. Raises InputError when one is not a finite number."""
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise InputError(f"{name}: {source} contains NaN or infinity; the checkpoint is damaged")
    return scores
