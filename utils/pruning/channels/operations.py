"""What the walk knows of torch's operations: which pass channels on, join them, or move numbers without a change."""

import operator

import torch
from torch import nn
from torch.nn import functional

SPATIAL_LAYERS = (  # each channel by itself; zeros stay zeros
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Upsample,
    nn.ZeroPad2d,
    nn.Dropout2d,
)
SPATIAL = {
    functional.interpolate,
    functional.max_pool2d,
    functional.avg_pool2d,
    functional.adaptive_avg_pool2d,
    functional.adaptive_max_pool2d,
    torch.max_pool2d,
    torch.adaptive_avg_pool1d,
}
ELEMENTWISE = {  # each number by itself
    functional.silu,
    functional.relu,
    functional.relu6,
    functional.leaky_relu,
    functional.hardswish,
    functional.hardsigmoid,
    functional.hardtanh,
    functional.gelu,
    functional.elu,
    functional.mish,
    functional.softplus,
    functional.sigmoid,
    functional.tanh,
    functional.dropout,
    torch.relu,
    torch.tanh,
    torch.sigmoid,
    torch.clamp,
    torch.abs,
    torch.neg,
    operator.neg,
    torch.exp,
    torch.sqrt,
    torch.square,
    torch.rsqrt,
    "relu",
    "relu_",
    "tanh",
    "sigmoid",
    "sigmoid_",
    "clamp",
    "abs",
    "exp",
    "sqrt",
    "square",
    "rsqrt",
    "contiguous",
    "clone",
    "detach",
    "float",
    "to",
    "type_as",
}
SUMS = {operator.add, operator.iadd, operator.sub, operator.isub, torch.add, torch.sub, "add", "add_", "sub", "sub_"}
PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}  # of two maps: a channel dies when either does
QUOTIENTS = {operator.truediv, torch.div, torch.true_divide, "div", "div_"}
CONCATS = {torch.cat, torch.concat, torch.stack}
REDUCTIONS = {torch.mean, torch.sum, torch.amax, torch.amin, "mean", "sum", "amax", "amin"}
MOVES = {  # numbers change their places and nothing else
    torch.flatten,
    torch.reshape,
    torch.permute,
    torch.transpose,
    torch.movedim,
    torch.squeeze,
    torch.unsqueeze,
    torch.chunk,
    torch.split,
    torch.narrow,
    torch.select,
    torch.index_select,
    torch.unbind,
    torch.unflatten,
    torch.pixel_shuffle,
    torch.pixel_unshuffle,
    functional.pixel_shuffle,
    functional.pixel_unshuffle,
    operator.getitem,
    "flatten",
    "reshape",
    "view",
    "permute",
    "transpose",
    "movedim",
    "squeeze",
    "unsqueeze",
    "chunk",
    "split",
    "narrow",
    "select",
    "index_select",
    "unbind",
    "unflatten",
    "expand",
    "repeat",
}
MOVING_LAYERS = (nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle)
WITHOUT_CHANNELS = {getattr, "size", "dim"}  # results that are numbers, not maps


def is_activation(module: nn.Module) -> bool:
    """Tell whether a layer works on each number alone: one of torch's activations that have no axis and no weights."""
    own = type(module).__module__ == "torch.nn.modules.activation"
    axis = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.GLU, nn.MultiheadAttention)
    return own and not isinstance(module, axis) and not any(True for _ in module.parameters())


def keeps_zero(module: nn.Module) -> bool:
    """Tell whether an activation maps 0 to 0, so that a silent channel stays silent."""
    return bool(module(torch.zeros(1)).item() == 0.0)
