"""From masks to a narrower network of the same classes.

Golden rule: the rebuilt network gives what the original gives when gamma and beta of the removed channels are zero.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.channels.masks import Masks


def removed_labels(graph: ChannelGraph, keep: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the array of labels that Masks remove from a ChannelGraph. Raises ValueError when they do not fit it."""
    keep = Masks(keep).check(graph)
    gone = [group.labels[~keep[group.name]] for group in graph.groups if group.name in keep]
    return np.concatenate(gone) if gone else np.empty(0, dtype=np.int64)


def masked(model: Any, graph: ChannelGraph, keep: Mapping[str, np.ndarray]) -> Any:
    """Return a copy of a network in which the removed channels are silent: gamma and beta zero, widths as before."""
    model = deepcopy(model)
    silence(model, graph, removed_labels(graph, keep))
    return model


@torch.no_grad()
def silence(model: Any, graph: ChannelGraph, removed: np.ndarray) -> None:
    """Set gamma and beta of the removed labels to zero, in place; where no batch norm acts, the weights."""
    with_norm = [layer.outputs for layer in graph.layers.values() if not layer.is_conv]
    covered = np.concatenate(with_norm) if with_norm else np.empty(0, dtype=np.int64)
    for layer in graph.layers.values():
        targets = np.isin(layer.outputs, removed)
        if layer.is_conv:
            targets &= ~np.isin(layer.outputs, covered)
        if targets.any():
            module = model.get_submodule(layer.name)
            where = torch.from_numpy(np.flatnonzero(targets))
            module.weight[where] = 0
            if module.bias is not None:
                module.bias[where] = 0


def rebuild(model: Any, graph: ChannelGraph, keep: Mapping[str, np.ndarray]) -> Any:
    """Return a copy of a network without the removed channels: same classes and attributes, other widths.

    Only what stays is copied, so that a large network is not held twice.
    """
    model = deepcopy(
        model, {id(t): t for t in (*model.parameters(), *model.buffers())}
    )  # the memo keeps tensors shared
    removed = removed_labels(graph, keep)
    for layer in graph.layers.values():
        outputs, inputs = (torch.from_numpy(~np.isin(v, removed)) for v in (layer.outputs, layer.inputs))
        module = model.get_submodule(layer.name)
        if layer.is_conv:
            narrow_conv(module, outputs, inputs)
        else:
            narrow_norm(module, outputs)
    own_tensors(model, set(graph.layers))
    for layer in getattr(model, "model", ()):
        layer.np = sum(p.numel() for p in layer.parameters())
    return model


def own_tensors(model: Any, narrowed: Any) -> None:
    """Copy the tensors of all modules but the narrowed ones (names), which have their own already; in place."""
    for name, module in model.named_modules():
        if name not in narrowed:
            for key, value in module._parameters.items():
                if value is not None:
                    module._parameters[key] = nn.Parameter(value.detach().clone(), requires_grad=value.requires_grad)
        for key, value in module._buffers.items():
            if value is not None and (name not in narrowed or not value.dim()):  # num_batches_tracked has no channels
                module._buffers[key] = value.clone()


def narrow_conv(conv: Any, outputs: Any, inputs: Any) -> None:
    """Keep the marked output and input channels (bool vectors) of a Conv2d, in place."""
    weight = conv.weight[outputs]
    if conv.groups == 1:
        weight = weight[:, inputs]
    elif conv.groups == conv.in_channels == conv.out_channels:
        conv.groups = int(outputs.sum())
    conv.weight = nn.Parameter(weight.detach().clone(), requires_grad=conv.weight.requires_grad)
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias[outputs].detach().clone(), requires_grad=conv.bias.requires_grad)
    conv.out_channels, conv.in_channels = weight.shape[0], int(inputs.sum())


def narrow_norm(norm: Any, keep: Any) -> None:
    """Keep the marked channels (bool vector) of a BatchNorm2d, in place."""
    norm.weight = nn.Parameter(norm.weight[keep].detach().clone(), requires_grad=norm.weight.requires_grad)
    norm.bias = nn.Parameter(norm.bias[keep].detach().clone(), requires_grad=norm.bias.requires_grad)
    norm.running_mean, norm.running_var = norm.running_mean[keep].clone(), norm.running_var[keep].clone()
    norm.num_features = int(keep.sum())
