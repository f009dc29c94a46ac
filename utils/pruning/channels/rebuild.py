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
from utils.pruning.channels.narrowing import leave_out, loose_tensor, narrow, narrow_tensor, silence_layer


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
    """Set weights and biases behind the removed labels to zero, gamma and beta of norms too, in place."""
    for layer in graph.layers.values():
        gone, module = torch.from_numpy(np.isin(layer.outputs, removed)), model.get_submodule(layer.name)
        if gone.any() and layer.across is not None:
            leave_out(module, gone, layer.across)
        elif gone.any():
            silence_layer(module, gone)
    for name, tensor in graph.loose.items():
        gone = torch.from_numpy(np.isin(tensor.vector, removed))
        loose_tensor(model, name).movedim(tensor.axis, 0)[gone] = 0


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
        narrow(model.get_submodule(layer.name), layer, outputs, inputs)
    for name, tensor in graph.loose.items():
        narrow_tensor(model, name, tensor.axis, torch.from_numpy(~np.isin(tensor.vector, removed)))
    own_tensors(model, set(graph.layers))
    for layer in getattr(model, "model", ()):
        layer.np = sum(p.numel() for p in layer.parameters())
    return model


@torch.no_grad()
def widened(narrow: Any, model: Any, graph: ChannelGraph, keep: Mapping[str, np.ndarray]) -> Any:
    """Return a network with the widths of `model` that `rebuild` makes into `narrow` again.

    narrow: what rebuild made of `model`, its tensors changed since. The channels that went are silent in the result.
    """
    places = deepcopy(model).double()  # of every element in its tensor, cut in the same way
    for tensor in places.state_dict().values():
        tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape))
    left, wide = rebuild(places, graph, keep).state_dict(), masked(model, graph, keep)
    whole = wide.state_dict()
    for name, values in narrow.state_dict().items():
        whole[name].put_(left[name].long(), values)
    return wide


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
