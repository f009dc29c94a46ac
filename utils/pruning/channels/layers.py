"""The book of layers that have weights for each channel: what they read and give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from utils.pruning.channels.labels import Carried, Labels, Layer

Given = Carried | str  # what a layer's output carries, or why nothing is known of it


class LayerBook:
    """Records every layer that a walk comes to, with the labels that it reads and gives."""

    def __init__(self, image_pixels: int, whole_groups: bool | None = None) -> None:
        """whole_groups: what a convolution in groups loses, whole ones or places of all; None: whichever is finer."""
        self.image_pixels, self.whole_groups = image_pixels, whole_groups
        self.labels = Labels()
        self.layers: dict[str, Layer] = {}
        self.loose: dict[str, Carried] = {}

    def conv(
        self, name: str, conv: nn.Conv2d, source: Carried | None, given: torch.Tensor, value: torch.Tensor
    ) -> Given:
        """Record a convolution of `given` [B, c_in, h, w] to `value` [B, c_out, H, W]."""
        groups = conv.groups
        inputs = self.read(source, 1, conv.in_channels, name)
        depthwise = groups == conv.in_channels and groups > 1
        finer = groups > conv.in_channels // groups
        by_group = depthwise or (finer if self.whole_groups is None else self.whole_groups)
        if depthwise:
            outputs = np.repeat(inputs, conv.out_channels // groups)
        else:
            outputs = self.labels.fresh(conv.out_channels)
            if groups > 1:
                self.tie_groups(inputs.reshape(groups, -1), outputs.reshape(groups, -1), by_group)
        layer = Layer(name, inputs, outputs, "conv", self.area(value), depthwise, by_group and groups > 1)
        return Carried(1, self.remember(layer).outputs)

    def tie_groups(self, inputs: np.ndarray, outputs: np.ndarray, by_group: bool) -> None:
        """Tie channels [groups, each] of a convolution in groups: all of a group, or the same places of all groups."""
        if by_group:
            self.labels.tie_rows(np.concatenate((inputs, outputs), 1).T, "groups")
        else:
            self.labels.tie_rows(inputs, "groups")
            self.labels.tie_rows(outputs, "groups")

    def transposed(
        self, name: str, conv: Any, source: Carried | None, given: torch.Tensor, value: torch.Tensor
    ) -> Given:
        """Record a transposed convolution."""
        if conv.groups > 1:
            return f"{name} is a transposed convolution in groups"
        inputs, outputs = self.read(source, 1, conv.in_channels, name), self.labels.fresh(conv.out_channels)
        return Carried(1, self.remember(Layer(name, inputs, outputs, "transposed conv", self.area(given))).outputs)

    def linear(
        self, name: str, linear: nn.Linear, source: Carried | None, given: torch.Tensor, value: torch.Tensor
    ) -> Given:
        """Record a linear layer over the last axis."""
        axis = value.dim() - 1
        inputs, outputs = self.read(source, axis, linear.in_features, name), self.labels.fresh(linear.out_features)
        area = value[..., 0].numel() / self.image_pixels
        return Carried(axis, self.remember(Layer(name, inputs, outputs, "linear", area)).outputs)

    def norm(self, name: str, norm: Any, source: Carried | None, given: torch.Tensor, value: torch.Tensor) -> Given:
        """Record a norm of each channel by itself."""
        silent = None if source is None else Carried(source.axis, source.vector)  # gamma and beta silence it anew
        inputs = self.read(silent, 1, norm.num_features, name)
        outputs = self.remember(Layer(name, inputs, inputs, "norm", self.area(value))).outputs
        return Carried(1, outputs, None if norm.affine else f"{name} has no gamma and beta to silence a channel with")

    def group_norm(
        self, name: str, norm: Any, source: Carried | None, given: torch.Tensor, value: torch.Tensor
    ) -> Given:
        """Record a group norm: a group goes as a whole, so that the others keep their mean and deviation."""
        if source is None or source.axis != 1:
            return f"{name} (GroupNorm) works along another axis"
        if norm.num_groups == 1:
            return self.joint_norm(name, source, given)
        if not norm.affine:
            return f"{name} has no gamma and beta to silence a channel with"
        self.labels.tie_rows(source.vector.reshape(norm.num_groups, -1).T, "group norms")
        return Carried(1, self.remember(Layer(name, source.vector, source.vector, "norm", self.area(value))).outputs)

    def layer_norm(
        self, name: str, norm: Any, source: Carried | None, given: torch.Tensor, value: torch.Tensor
    ) -> Given:
        """Record a layer norm or RMS norm over the axis of the channels alone."""
        if source is None or len(norm.normalized_shape) > 1 or not works_along(norm, source.axis, given.shape):
            return f"{name} ({type(norm).__name__}) does not work along the channels alone"
        return self.joint_norm(name, source, given)

    def joint_norm(self, name: str, source: Carried, given: torch.Tensor) -> Carried:
        """Record a norm that takes one mean over all channels: over those that stay, in the silenced network too."""
        layer = Layer(name, source.vector, source.vector, "norm", self.area(given), across=source.axis - given.dim())
        return Carried(source.axis, self.remember(layer).outputs)

    def attention(
        self, name: str, layer: nn.MultiheadAttention, sources: Any, tokens: torch.Tensor, weights_read: bool
    ) -> Given:
        """Record torch's attention: whole heads go, or the same places of every head, whichever is finer.

        Query, key, value and what it gives are as wide as its heads together, so that they lose the same channels.

        Args:
            name: of the layer.
            layer: the layer.
            sources: what query, key and value carry.
            tokens: the query [..., C].
            weights_read: whether the network reads the attention weights, which are a mean over the heads.
        """
        each, axis = layer.embed_dim // layer.num_heads, tokens.dim() - 1
        whole = layer.num_heads > each
        if not layer._qkv_same_embed_dim or layer.bias_k is not None or layer.add_zero_attn or whole and weights_read:
            return f"{name} (MultiheadAttention) has no heads or places that could go alone"
        query, key, value = (self.read(source, axis, layer.embed_dim, name) for source in sources)
        self.labels.tie_rows(np.stack((query, key, value)), "attention")
        table = query.reshape(layer.num_heads, each)
        self.labels.tie_rows(table.T if whole else table, "heads")
        area = tokens[..., 0].numel() / self.image_pixels
        layer_found = Layer(name, query, query, "attention", area, depthwise=True, by_group=whole)
        return Carried(axis, self.remember(layer_found).outputs)

    def loose_tensor(self, name: str, axis: int, count: int) -> Carried:
        """Record a parameter or buffer that the network's own code uses, with `count` channels along an axis."""
        known = self.loose.get(name)
        if known is None:
            known = self.loose[name] = Carried(axis, self.labels.fresh(count))
        return known

    def read(self, source: Carried | None, axis: int, count: int, name: str) -> np.ndarray:
        """Return the labels [count] of what a layer reads along an axis; frozen ones where they are not known."""
        if source is None:
            return self.frozen(count, f"{name} reads channels that are not understood")
        if source.axis != axis:
            self.labels.freeze(source.vector, f"{name} works along another axis")
            return self.frozen(count, f"{name} works along another axis")
        if source.loud:
            self.labels.freeze(source.vector, source.loud)
        return source.vector

    def frozen(self, count: int, reason: str) -> np.ndarray:
        """Return `count` new frozen labels."""
        vector = self.labels.fresh(count)
        self.labels.freeze(vector, reason)
        return vector

    def area(self, value: torch.Tensor) -> float:
        """Return how many pixels a map [B, C, H, W] has over those of the image; one where it has no pixels."""
        return value.shape[2:].numel() / self.image_pixels

    def remember(self, layer: Layer) -> Layer:
        """Record a layer; one that is used twice has its labels tied, because its weights are shared."""
        known = self.layers.setdefault(layer.name, layer)
        if known is not layer:
            self.labels.tie(known.inputs, layer.inputs, "shared weights")
            self.labels.tie(known.outputs, layer.outputs, "shared weights")
            known.area += layer.area
        return known


def works_along(norm: Any, axis: int, shape: torch.Size) -> bool:
    """Tell whether a layer norm treats a tensor of a shape as torch's does with the channels along an axis."""
    if norm.normalized_shape != (shape[axis],):
        return False
    if type(norm) in (nn.LayerNorm, nn.RMSNorm):
        return axis == len(shape) - 1
    waves = torch.arange(shape.numel()).sin().view(shape).to(next(norm.parameters(), torch.empty(0)))
    wanted = functional.layer_norm(waves.movedim(axis, -1), norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return torch.allclose(norm(waves), wanted.movedim(-1, axis), atol=1e-5)


def rule_of(module: Any) -> Callable[..., Given] | None:
    """Return the method of LayerBook that records a layer; None where it has no channels of its own."""
    return RECORDED.get(nn.LayerNorm if isinstance(module, nn.LayerNorm) else type(module))


RECORDED: dict[type, Callable[..., Given]] = {
    nn.Conv2d: LayerBook.conv,
    nn.ConvTranspose2d: LayerBook.transposed,
    nn.Linear: LayerBook.linear,
    nn.BatchNorm2d: LayerBook.norm,
    nn.BatchNorm1d: LayerBook.norm,
    nn.InstanceNorm2d: LayerBook.norm,
    nn.GroupNorm: LayerBook.group_norm,
    nn.LayerNorm: LayerBook.layer_norm,
    nn.RMSNorm: LayerBook.layer_norm,
}
