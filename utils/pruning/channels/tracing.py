"""Walking a traced network with vectors of channel labels in place of tensors (see groups.py for the idea)."""

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from models.yolo import Detect

POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample, nn.ZeroPad2d)
PASSING = (*POOLS, nn.Identity, nn.Dropout, nn.Dropout2d)
PASSING_FUNCTIONS = {
    functional.silu,
    functional.relu,
    functional.leaky_relu,
    functional.hardswish,
    functional.interpolate,
    functional.max_pool2d,
    functional.avg_pool2d,
    functional.adaptive_avg_pool2d,
    functional.dropout,
    torch.relu,
    torch.tanh,
    "relu",
    "relu_",
    "tanh",
    "contiguous",
    "clone",
    "detach",
}
ADDITIONS = {operator.add, operator.iadd, operator.sub, operator.isub, torch.add, torch.sub, "add", "add_", "sub"}
PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}  # of two maps: a channel dies when either does
CONCATS = {torch.cat, torch.concat}
WITHOUT_CHANNELS = {getattr, "size", "dim"}  # results that are numbers, not maps
PREDICTIONS, IMAGE = "its outputs are the predictions", "these are the image's channels"


@dataclass
class Layer:
    """A traced convolution or batch norm: the labels of its input and output channels."""

    name: str
    inputs: np.ndarray  # [c_in] labels
    outputs: np.ndarray  # [c_out] labels
    is_conv: bool
    area: float  # output pixels over image pixels, for the cost in FLOPs
    depthwise: bool = False


class Labels:
    """Union-find over channel labels, with a reason for each frozen one."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.reasons: dict[int, str] = {}
        self.ties: dict[int, Any] = {}  # root → what made labels the same

    def fresh(self, count: int) -> np.ndarray:
        """Return `count` new labels."""
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, label: int) -> int:
        """Return the representative of a label."""
        while self.parent[label] != label:
            self.parent[label] = self.parent[self.parent[label]]
            label = self.parent[label]
        return label

    def roots(self, vector: np.ndarray) -> np.ndarray:
        """Return the representatives of a vector of labels."""
        return np.array([self.root(label) for label in vector.tolist()], dtype=np.int64)

    def tie(self, first: np.ndarray, second: np.ndarray, how: str) -> None:
        """Make the labels at each index of two vectors the same; how: by what, in words."""
        for a, b in zip(first.tolist(), second.tolist()):
            a, b = sorted((self.root(a), self.root(b)))
            if a != b:
                self.parent[b] = a
                self.ties[a] = self.ties.get(a, set()) | self.ties.pop(b, set()) | {how}

    def freeze(self, vector: np.ndarray, reason: str) -> None:
        """Forbid cutting these labels; the first reason stays."""
        for label in vector.tolist():
            self.reasons.setdefault(label, reason)


class ChannelTracer(fx.Tracer):
    """Traces through all but torch.nn's own layers and Detect; a module that cannot be traced stays one opaque step."""

    def is_leaf_module(self, module: Any, name: str) -> bool:
        """Tell whether a module is one step of the graph."""
        return isinstance(module, Detect) or super().is_leaf_module(module, name)

    def call_module(self, module: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        """Trace into a module, or keep it as one step when its code depends on values."""
        try:
            return super().call_module(module, forward, args, kwargs)
        except (fx.proxy.TraceError, TypeError, ValueError):
            return self.create_proxy("call_module", self.path_of_module(module), args, kwargs)


class ChannelWalk(fx.Interpreter):
    """Runs a traced network on a small image and carries a vector of labels along with every map."""

    def __init__(self, traced: Any, image_pixels: int) -> None:
        super().__init__(traced)
        self.image_pixels = image_pixels
        self.labels = Labels()
        self.layers: dict[str, Any] = {}
        self.vectors: dict[Any, Any] = {}  # node → labels [C] of its 4-D output
        self.fresh: dict[
            Any, Any
        ] = {}  # node → [(convolution or None, channels)]: of which its output consists, read by one node
        self.behind: dict[
            str, Any
        ] = {}  # convolution → (batch norm that alone reads its outputs, index of the first of them there)

    def run_node(self, node: Any) -> Any:
        """Compute the value of a node and its labels."""
        value = super().run_node(node)
        if node.op == "output":
            self.freeze_inputs(node, PREDICTIONS)
        elif isinstance(value, torch.Tensor) and value.dim() == 4:
            self.vectors[node] = self.label(node, value)
        elif node.target not in WITHOUT_CHANNELS:
            self.visit_opaque(node)
        return value

    def label(self, node: Any, value: Any) -> np.ndarray:
        """Return the labels [C] of a node's output map [B, C, H, W]."""
        if node.op == "placeholder":
            return self.frozen(value, IMAGE)
        inputs = [self.vectors[n] for n in node.all_input_nodes if n in self.vectors]
        if node.op == "call_module":
            return self.label_module(node, self.fetch_attr(node.target), inputs, value)
        if node.target in CONCATS and self.joins_channels(node):
            alone = len(node.users) == 1
            parts = [self.fresh.get(n, [(None, len(self.vectors[n]))]) for n in node.args[0]]
            self.fresh[node] = [(name if alone else None, count) for part in parts for name, count in part]
            return np.concatenate([self.vectors[n] for n in node.args[0]])
        if node.target in PRODUCTS or node.target in ADDITIONS:
            return self.label_arithmetic(node, inputs, value)
        passing = node.target in PASSING_FUNCTIONS or (node.target is operator.getitem and keeps_channels(node.args[1]))
        if passing and len(inputs) == 1 and len(inputs[0]) == value.shape[1]:
            return inputs[0]
        return self.not_understood(node, value)

    def label_module(self, node: Any, module: Any, inputs: Any, value: Any) -> np.ndarray:
        """Return the output labels of a layer and remember it when it has channels of its own."""
        known = len(inputs) == 1
        if known and isinstance(module, nn.Conv2d):
            self.fresh[node] = [(node.target if len(node.users) == 1 else None, module.out_channels)]
            return self.label_conv(node.target, module, inputs[0], value)
        if known and isinstance(module, nn.BatchNorm2d):
            self.note_behind(node)
            self.remember(node.target, inputs[0], inputs[0], value, is_conv=False)
            return inputs[0]
        if known and len(inputs[0]) == value.shape[1]:
            if isinstance(module, PASSING):
                return inputs[0]
            if is_activation(module):
                if not keeps_zero(module):
                    self.labels.freeze(inputs[0], f"{node.target} ({type(module).__name__}) is not zero at zero")
                return inputs[0]
        return self.not_understood(node, value)

    def label_conv(self, name: str, conv: Any, inputs: Any, value: Any) -> np.ndarray:
        """Return the output labels of a convolution."""
        depthwise = conv.groups == conv.in_channels == conv.out_channels and conv.groups > 1
        if depthwise:
            outputs = inputs
        else:
            outputs = self.labels.fresh(conv.out_channels)
            if conv.groups > 1:
                reason = f"{name} is a convolution in {conv.groups} groups"
                self.labels.freeze(inputs, reason)
                self.labels.freeze(outputs, reason)
        return self.remember(name, inputs, outputs, value, is_conv=True, depthwise=depthwise).outputs

    def label_arithmetic(self, node: Any, inputs: Any, value: Any) -> np.ndarray:
        """Return the labels of a sum or product of maps; maps of the same channels are tied channel by channel."""
        if len(inputs) == 1 and len(node.all_input_nodes) == 1 and len(node.args) == 2 and node.target in PRODUCTS:
            return inputs[0]  # times a number
        if len(inputs) == 1 and node.args[0] is node.args[1]:
            return inputs[0]
        if len(inputs) == 2 and len(inputs[0]) == len(inputs[1]) == value.shape[1]:
            self.labels.tie(inputs[0], inputs[1], "products" if node.target in PRODUCTS else "additions")
            return inputs[0]
        return self.not_understood(node, value)

    def note_behind(self, node: Any) -> None:
        """Remember which convolutions a batch norm alone reads, directly or through a concat; not those used twice."""
        first = 0
        for name, count in self.fresh.get(node.args[0], ()):
            if name is not None and node.target not in self.layers:
                self.behind[name] = None if name in self.behind else (node.target, first)
            first += count

    def joins_channels(self, node: Any) -> bool:
        """Tell whether a concat joins maps of known labels along their channels."""
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        return dim in (1, -3) and all(n in self.vectors for n in node.args[0])

    def visit_opaque(self, node: Any) -> None:
        """Handle a node whose output is no map: Detect, or something that is not understood."""
        module = self.fetch_attr(node.target) if node.op == "call_module" else None
        if not isinstance(module, Detect):
            if any(n in self.vectors for n in node.all_input_nodes):
                self.freeze_inputs(node, f"{operation_name(node)} is not understood")
            return
        for i, (conv, source) in enumerate(zip(list[Any](module.m), node.args[0])):
            outputs = self.labels.fresh(conv.out_channels)
            self.labels.freeze(outputs, PREDICTIONS)
            value = self.env[source]
            self.remember(f"{node.target}.m.{i}", self.vectors[source], outputs, value, is_conv=True)

    def remember(self, name: str, inputs: Any, outputs: Any, value: Any, is_conv: bool, depthwise: bool = False) -> Any:
        """Record a layer; one that is used twice has its labels tied, because its weights are shared."""
        area = value.shape[-2] * value.shape[-1] / self.image_pixels
        if name in self.layers:
            layer = self.layers[name]
            self.labels.tie(layer.inputs, inputs, "shared weights")
            self.labels.tie(layer.outputs, outputs, "shared weights")
            layer.area += area
            return layer
        self.layers[name] = Layer(name, inputs, outputs, is_conv, area, depthwise)
        return self.layers[name]

    def not_understood(self, node: Any, value: Any) -> np.ndarray:
        """Freeze what a node reads and return frozen labels for what it gives."""
        reason = f"{operation_name(node)} is not understood"
        self.freeze_inputs(node, reason)
        return self.frozen(value, reason)

    def freeze_inputs(self, node: Any, reason: str) -> None:
        """Freeze the labels of all maps that a node reads."""
        for source in node.all_input_nodes:
            if source in self.vectors:
                self.labels.freeze(self.vectors[source], reason)

    def frozen(self, value: Any, reason: str) -> np.ndarray:
        """Return new frozen labels for the channels of a map."""
        vector = self.labels.fresh(value.shape[1])
        self.labels.freeze(vector, reason)
        return vector


def operation_name(node: Any) -> str:
    """Return a node's operation, and the module whose code it is in, in words for the report."""
    words = f"{node.target} ({node.op})" if isinstance(node.target, str) else f"{node.target.__name__} at {node.name}"
    around = list(node.meta.get("nn_module_stack", {}).values())
    if node.op == "call_module" or not around:
        return words
    path, kind = around[-1]
    return f"{words} in {path} ({kind.__name__})"


def keeps_channels(index: Any) -> bool:
    """Tell whether indexing a map [B, C, H, W] with `index` leaves its channels whole."""
    index = index if isinstance(index, tuple) else (index,)
    whole = slice(None)
    if index and index[0] is Ellipsis:
        return len(index) <= 3 and all(isinstance(i, slice) for i in index[1:])
    return all(isinstance(i, slice) for i in index) and all(i == whole for i in index[:2])


def is_activation(module: Any) -> bool:
    """Tell whether a layer works on each number alone: one of torch's activations that have no axis and no weights."""
    own = type(module).__module__ == "torch.nn.modules.activation"
    axis = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.GLU, nn.MultiheadAttention)
    return own and not isinstance(module, axis) and not any(True for _ in module.parameters())


def keeps_zero(module: Any) -> bool:
    """Tell whether an activation maps 0 to 0, so that a silent channel stays silent."""
    return module(torch.zeros(1)).item() == 0.0
