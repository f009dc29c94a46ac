"""Criteria that read the weights alone.

Each returns {layer: [c_out] scores of its outputs}; parameters.py joins tied ones.
"""

from collections.abc import Iterator
from typing import Any

import torch

from utils.pruning.channels.groups import ChannelGraph


def filters(model: Any, graph: ChannelGraph) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, weights [c_out, c_in · k · k]) of every convolution and linear layer, in float64."""
    for layer in graph.layers.values():
        if not layer.is_norm and not layer.is_attention:
            weight = model.get_submodule(layer.name).weight.detach().double()
            yield layer.name, weight.movedim(int(layer.kind == "transposed conv"), 0).flatten(1)


def gamma(model: Any, graph: ChannelGraph) -> dict[str, torch.Tensor]:
    """|gamma| of every batch norm: network slimming (Liu et al. 2017)."""
    norms = [layer.name for layer in graph.layers.values() if layer.is_norm]
    return {name: model.get_submodule(name).weight.detach().abs().double() for name in norms}


def l1(model: Any, graph: ChannelGraph) -> dict[str, torch.Tensor]:
    """Sum of the absolute weights of each filter (Li et al. 2017)."""
    return {name: weights.abs().sum(1) for name, weights in filters(model, graph)}


def l2(model: Any, graph: ChannelGraph) -> dict[str, torch.Tensor]:
    """Euclidean norm of each filter (He et al. 2018, soft filter pruning)."""
    return {name: weights.norm(dim=1) for name, weights in filters(model, graph)}


def l1_std(model: Any, graph: ChannelGraph) -> dict[str, torch.Tensor]:
    """The l1 norm (Li et al. 2017) where its layer puts it, so that layers of large and small weights lose alike.

    It is the share of a normal distribution with the mean and deviation of the layer's norms that lies below. A filter
    of zeros scores zero.
    """
    scores = {}
    for name, norms in l1(model, graph).items():
        deviation = norms.std(correction=0).clamp(min=1e-12)
        scores[name] = torch.special.ndtr((norms - norms.mean()) / deviation) * (norms > 0)
    return scores


def fpgm(model: Any, graph: ChannelGraph) -> dict[str, torch.Tensor]:
    """Sum of the distances to the layer's other filters: at their geometric median is replaceable (He et al. 2019)."""
    return {
        name: torch.cdist(weights, weights, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
        for name, weights in filters(model, graph)
    }


def lamp(model: Any, graph: ChannelGraph) -> dict[str, torch.Tensor]:
    """Squared norm of a filter over the sum of those at least as large in its layer (Lee et al. 2021, per filter)."""
    scores = {}
    for name, weights in filters(model, graph):
        squares, order = weights.square().sum(1).sort(descending=True)
        scores[name] = torch.empty_like(squares)
        scores[name][order] = squares / squares.cumsum(0).clamp(min=1e-300)
    return scores


def chance(model: Any, graph: ChannelGraph, generator: torch.Generator | None) -> dict[str, torch.Tensor]:
    """Uniform random numbers: the control that every criterion has to beat."""
    return {name: torch.rand(len(weights), generator=generator).double() for name, weights in filters(model, graph)}


FROM_WEIGHTS = {"bn": gamma, "l1": l1, "l2": l2, "l1-std": l1_std, "fpgm": fpgm, "lamp": lamp}  # names of --criterion
