"""What a removed channel leaves behind: a constant, which its consumers take over, and batch norm statistics.

A channel that goes was not zero but about act(beta), or about its mean over images. Whoever read it gets that constant
times its
weights: into the bias of a convolution, or the running mean of the batch norm right behind it (subtracted there).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from models.yolo import DetectionModel
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.channels.rebuild import removed_labels
from utils.pruning.scores.calibration import Calibration
from utils.pruning.scores.from_data import input_statistics
from utils.validation.evaluate import evaluation_mode


def mean_constants(
    model: DetectionModel, graph: ChannelGraph, calibration: Calibration, device: torch.device
) -> dict[str, torch.Tensor]:
    """Return {convolution: [c_in] mean of what it reads} over the calibration images and all pixels."""
    return {name: mean for name, (mean, _) in input_statistics(model, graph, calibration, device).items()}


@torch.no_grad()
def beta_constants(
    model: DetectionModel, graph: ChannelGraph, keep: Mapping[str, np.ndarray]
) -> dict[str, torch.Tensor]:
    """Return {convolution: [c_in] what it reads} when the gammas of all channels that go are zero.

    Such a channel is act(beta) in every pixel, wherever concats, additions, pooling and resizing carry it; so one small
    empty image tells, and the pixel in the middle, where no padding reaches. The entries of channels that stay mean
    nothing.
    """
    removed = removed_labels(graph, keep)
    seen: dict[str, torch.Tensor] = {}
    handles: list[Any] = []
    gammas: list[Any] = []
    first = next(model.parameters())
    side = 4 * max(64, int(getattr(model, "stride", torch.zeros(1)).max()))
    try:
        for layer in graph.layers.values():
            module = model.get_submodule(layer.name)
            if layer.is_norm:
                weight = model.get_parameter(f"{layer.name}.weight")
                gammas.append((weight, weight.clone()))
                weight[torch.from_numpy(np.isin(layer.outputs, removed))] = 0
            elif layer.is_conv and not layer.depthwise:
                handles.append(module.register_forward_pre_hook(partial(note_middle, seen, layer.name)))
        with evaluation_mode(model):
            model(torch.zeros(1, 3, side, side, device=first.device, dtype=first.dtype))
    finally:
        for handle in handles:
            handle.remove()
        for weight, before in gammas:
            weight.copy_(before)
    return seen


def note_middle(seen: Any, name: str, _: Any, args: Any) -> None:
    """Remember the middle pixel [c_in] of the map that a convolution reads, as a forward pre-hook."""
    height, width = args[0].shape[2:]
    seen[name] = args[0][0, :, height // 2, width // 2].double()


@torch.no_grad()
def fold(
    narrow: DetectionModel,
    model: DetectionModel,
    graph: ChannelGraph,
    keep: Mapping[str, np.ndarray],
    constants: Mapping[str, torch.Tensor],
) -> None:
    """Give the convolutions of a rebuilt network, in place, the constants that they no longer read.

    Args:
        narrow: the network that rebuild made of `model` with masks `keep`.
        constants: {convolution: [c_in] values of its inputs in `model`}.
    """
    removed = removed_labels(graph, keep)
    for name, values in constants.items():
        layer = graph.layers[name]
        gone = torch.from_numpy(np.isin(layer.inputs, removed))
        if gone.any():
            weights = weight_of_inputs(model.get_submodule(name))[:, gone].double().sum((2, 3))  # [c_out, gone]
            kept = torch.from_numpy(~np.isin(layer.outputs, removed))
            shift_output(narrow, graph, removed, name, (weights @ values[gone].to(weights))[kept])


def weight_of_inputs(conv: Any) -> torch.Tensor:
    """Return the weight [c_out, c_in, k, k] of a convolution, zero where an output of a group does not read."""
    if conv.groups == 1:
        return conv.weight
    blocks = conv.weight.reshape(conv.groups, -1, *conv.weight.shape[1:])
    whole = blocks.new_zeros(conv.groups, blocks.shape[1], conv.groups, *blocks.shape[2:])
    index = torch.arange(conv.groups)
    whole[index, :, index] = blocks
    return whole.reshape(conv.out_channels, conv.in_channels, *conv.kernel_size)


def shift_output(
    narrow: DetectionModel, graph: ChannelGraph, removed: np.ndarray, name: str, amount: torch.Tensor
) -> bool:
    """Add `amount` [c_out of narrow] to what a convolution gives, in place: in its bias or the running mean behind it.

    Returns False when it has neither: then nothing changes.
    """
    conv: Any = narrow.get_submodule(name)
    if conv.bias is not None:
        conv.bias += amount.to(conv.bias)
        return True
    if name not in graph.behind:
        return False
    norm_name, first = graph.behind[name]
    start = int((~np.isin(graph.layers[norm_name].outputs[:first], removed)).sum())
    norm: Any = narrow.get_submodule(norm_name)
    norm.running_mean[start : start + len(amount)] -= amount.to(norm.running_mean)
    return True


@torch.no_grad()
def recalibrate(model: DetectionModel, calibration: Calibration, device: torch.device) -> None:
    """Set the statistics of all batch norms to what they see on calibration images, in place (a mean over batches)."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    with evaluation_mode(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative mean
            norm.train()
        for images, _ in calibration.batches(device, 16):
            model(images)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        norm.train(model.training)
