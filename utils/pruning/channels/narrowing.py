"""How layers fall silent or lose channels."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from utils.pruning.channels.labels import Layer


def silence_layer(module: Any, gone: torch.Tensor) -> None:
    """Set the weights and biases behind the marked outputs (bool vector) of a layer to zero, in place."""
    if isinstance(module, nn.MultiheadAttention):
        module.in_proj_weight.unflatten(0, (3, -1))[:, gone] = 0
        if module.in_proj_bias is not None:
            module.in_proj_bias.unflatten(0, (3, -1))[:, gone] = 0
        module = module.out_proj
    outputs = 1 if isinstance(module, nn.ConvTranspose2d) else 0
    if module.weight is not None:
        module.weight.movedim(outputs, 0)[gone] = 0
    if getattr(module, "bias", None) is not None:
        module.bias[gone] = 0


def leave_out(norm: nn.Module, gone: torch.Tensor, axis: int) -> None:
    """Make a norm over all channels pass zeros for the marked ones (bool vector), and take its mean over the others.

    axis: of the channels. To zero them alone would not do: they would still count in the mean.
    """
    kept = torch.nonzero(~gone).flatten()
    narrow = deepcopy(norm)
    narrow_norm(narrow, ~gone)

    def normed(_: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
        """Return what the norm gives for the channels that stay, zeros between them."""
        index = kept.to(output.device)
        return torch.zeros_like(output).index_copy(axis, index, narrow(given[0].index_select(axis, index)))

    norm.register_forward_hook(normed)


def narrow(module: Any, layer: Layer, outputs: torch.Tensor, inputs: torch.Tensor) -> None:
    """Keep the marked output and input channels (bool vectors) of a layer, in place."""
    if isinstance(module, nn.Conv2d):
        narrow_conv(module, layer, outputs, inputs)
    elif isinstance(module, nn.ConvTranspose2d):
        keep_weights(module, module.weight[inputs][:, outputs], outputs)
        module.in_channels, module.out_channels = int(inputs.sum()), int(outputs.sum())
    elif isinstance(module, nn.Linear):
        keep_weights(module, module.weight[outputs][:, inputs], outputs)
        module.in_features, module.out_features = int(inputs.sum()), int(outputs.sum())
    elif isinstance(module, nn.MultiheadAttention):
        narrow_attention(module, layer, outputs)
    else:
        narrow_norm(module, outputs)


def narrow_attention(layer: nn.MultiheadAttention, traced: Layer, keep: torch.Tensor) -> None:
    """Keep the marked channels of every projection of torch's attention, in place.

    It divides by the root of a head's width, so the query makes up for what narrower heads change of that.
    """
    before, count = layer.head_dim, int(keep.sum())
    if traced.by_group:
        layer.num_heads = count // before
    layer.head_dim = count // layer.num_heads
    for name in ("in_proj_weight", "in_proj_bias"):
        whole = getattr(layer, name)
        if whole is not None:
            parts = whole.detach().unflatten(0, (3, -1))[:, keep]
            parts = parts[..., keep] if name == "in_proj_weight" else parts
            parts[0] *= (layer.head_dim / before) ** 0.5
            setattr(layer, name, nn.Parameter(parts.flatten(0, 1), requires_grad=whole.requires_grad))
    layer.embed_dim = layer.kdim = layer.vdim = count
    keep_weights(layer.out_proj, layer.out_proj.weight[keep][:, keep], keep)
    layer.out_proj.in_features = layer.out_proj.out_features = count


def narrow_conv(conv: nn.Conv2d, layer: Layer, outputs: torch.Tensor, inputs: torch.Tensor) -> None:
    """Keep the marked channels of a convolution, in place."""
    each = conv.in_channels // conv.groups
    weight = conv.weight[outputs]
    if layer.by_group:
        conv.groups = int(inputs.sum()) // each
    else:
        weight = weight[:, inputs[:each]]  # the same places of every group
    keep_weights(conv, weight, outputs)
    conv.out_channels, conv.in_channels = int(outputs.sum()), int(inputs.sum())


def keep_outputs(conv: nn.Conv2d, outputs: torch.Tensor) -> None:
    """Keep the outputs of a convolution with the given indices, in place; it reads all that it did."""
    keep_weights(conv, conv.weight[outputs], outputs)
    conv.out_channels = len(outputs)


def narrow_norm(norm: Any, keep: torch.Tensor) -> None:
    """Keep the marked channels of a norm, in place."""
    count = int(keep.sum())
    if isinstance(norm, nn.GroupNorm):
        norm.num_groups = max(norm.num_groups * count // norm.num_channels, 1)
        norm.num_channels = count
    elif isinstance(norm, (nn.LayerNorm, nn.RMSNorm)):
        norm.normalized_shape = (count,)
    else:
        norm.num_features = count
        if norm.running_mean is not None:
            norm.running_mean, norm.running_var = norm.running_mean[keep].clone(), norm.running_var[keep].clone()
    keep_weights(norm, norm.weight[keep] if norm.weight is not None else None, keep)


def keep_weights(module: Any, weight: torch.Tensor | None, outputs: torch.Tensor) -> None:
    """Give a layer a new weight, and of its bias the chosen part (bool vector or indices)."""
    if weight is not None:
        module.weight = nn.Parameter(weight.detach().clone(), requires_grad=module.weight.requires_grad)
    if getattr(module, "bias", None) is not None:
        bias = module.bias[outputs].detach().clone()
        module.bias = nn.Parameter(bias, requires_grad=module.bias.requires_grad)


def loose_tensor(model: nn.Module, name: str) -> torch.Tensor:
    """Return a parameter or buffer by its name."""
    parent, _, key = name.rpartition(".")
    return getattr(model.get_submodule(parent), key)


def narrow_tensor(model: nn.Module, name: str, axis: int, keep: torch.Tensor) -> None:
    """Keep the marked channels (bool vector) along an axis of a parameter or buffer of a network, in place."""
    parent, _, key = name.rpartition(".")
    tensor = loose_tensor(model, name)
    kept = tensor.detach().movedim(axis, 0)[keep].movedim(0, axis).contiguous()
    kept = nn.Parameter(kept, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else kept
    setattr(model.get_submodule(parent), key, kept)
