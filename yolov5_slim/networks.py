"""Pruning of any convolutional network that torch.fx can follow, in four steps: channels, score, select, cut.

The networks need not be detectors. See docs/ENGINE.md.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import fx, nn

from utils.errors import InputError, one_line
from utils.pruning.channels.groups import ChannelGraph, trace_on
from utils.pruning.channels.masks import Masks
from utils.pruning.channels.rebuild import masked, rebuild
from utils.pruning.choice.costs import NetworkCost
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.selection import select_by_cost
from utils.pruning.scores.from_weights import FROM_WEIGHTS
from utils.pruning.scores.parameters import aggregate, check_finite

__all__ = ["ChannelGraph", "Masks", "channels", "cut", "score", "select"]

AGREEMENT = 1e-3  # largest difference of outputs, as a share of the largest output


def channels(model: nn.Module, example: torch.Tensor, whole_groups: bool | None = None) -> ChannelGraph:
    """Return which channels of a network may go, and which go together.

    Args:
        model: the network.
        example: a batch [1, C, H, W] as the network takes it.
        whole_groups: what a convolution in groups loses: whole groups (True), the same places of every group (False),
            or whichever is finer (None).

    Raises InputError when torch.fx cannot follow the network's code, with the reason.
    """
    try:
        return trace_on(model, example, whole_groups)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{type(model).__name__}: torch.fx cannot follow its code: {one_line(str(error))}") from error


def score(model: nn.Module, graph: ChannelGraph, criterion: str = "l1-std") -> dict[str, np.ndarray]:
    """Return {group: [width] what is lost with each channel}.

    criterion: one that reads the weights alone: bn (|gamma|), l1, l2, l1-std, fpgm or lamp. Groups that have nothing of
    it are left out, and stay whole. Raises InputError for another name, and for weights that are not finite.
    """
    if criterion not in FROM_WEIGHTS:
        raise InputError(f"criterion {criterion!r}: must be one of {', '.join(FROM_WEIGHTS)}")
    return check_finite(aggregate(graph, FROM_WEIGHTS[criterion](model, graph), "mean"), f"what {criterion} reads")


def select(
    model: nn.Module,
    graph: ChannelGraph,
    scores: Mapping[str, np.ndarray],
    flops: float,
    limits: Limits = Limits(min_channels=1, multiple=1),
) -> Masks:
    """Return the Masks that take away a share of the FLOPs of all traced layers, cheapest loss per gain first.

    flops: share that goes, above 0 and below 1. Raises InputError when the limits do not allow it.
    """
    return select_by_cost(scores, NetworkCost.traced_flops(graph, model, 1), 1 - flops, limits)


def cut(model: nn.Module, graph: ChannelGraph, keep: Mapping[str, np.ndarray], example: torch.Tensor) -> nn.Module:
    """Return a copy of a network without the channels that the masks leave out: the same classes, narrower layers.

    It is compared with the network in which those channels are silent, on noise of the example's shape. Raises
    InputError when the two disagree or the narrower one stops: then code of the network depends on its widths in a way
    that was not seen.
    """
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    narrow = rebuild(model, graph, keep)
    wanted = run(masked(model, graph, keep), noise)
    try:
        got = run(narrow, noise)
    except RuntimeError as error:  # shapes that do not fit any more
        raise InputError(f"{type(model).__name__}: the narrower network stops: {one_line(str(error))}") from error
    for a, b in zip(wanted, got, strict=True):
        if a.shape != b.shape or not torch.allclose(a, b, rtol=0, atol=AGREEMENT * max(float(a.abs().max()), 1e-6)):
            raise InputError(
                f"{type(model).__name__}: the narrower network gives other outputs; protect what it cannot lose"
            )
    return narrow


@torch.no_grad()
def run(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Return all tensors that a network gives for images, in evaluation mode."""
    training = model.training
    found: list[torch.Tensor] = []
    try:
        gather(model.eval()(images), found)
    finally:
        model.train(training)
    return found


def gather(value: object, found: list[torch.Tensor]) -> None:
    """Append the tensors in nested outputs."""
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, Mapping):
        gather(list(value.values()), found)
    elif isinstance(value, (tuple, list)):
        for one in value:
            gather(one, found)
