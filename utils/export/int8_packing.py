"""Eight-bit graphs in the shape that processors multiply fast. What they compute stays the same.

On x86, ONNX Runtime multiplies four input channels of one place of the kernel for sixteen outputs at a time; with fewer
outputs it takes a slower way. So the image is folded, 2 × 2 pixels into 12 channels, which makes a strided first
convolution a plain one with a quarter of the places, and narrow maps get empty channels. docs/DEPLOY.md has times.
"""

from typing import Any, Literal

import numpy as np

from utils.runtimes.packages import need

OUTPUTS = 16  # channels that one step of the multiplication gives
FOLD = 2  # side in pixels of what becomes one pixel
PER_ELEMENT = ("Sigmoid", "Mul", "Relu", "Clip", "LeakyRelu", "QuantizeLinear", "DequantizeLinear")


class Packer:
    """A quantized graph that is being rearranged in place."""

    def __init__(self, graph: Any) -> None:
        """graph: ModelProto with a QuantizeLinear and a DequantizeLinear around every quantized operation."""
        self.onnx = need("onnx", "--int8")
        self.graph = graph.graph
        self.tensors = {tensor.name: tensor for tensor in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def pack(self) -> None:
        """Fold the image and widen narrow maps."""
        for conv in [node for node in self.graph.node if node.op_type == "Conv" and self.weights(node)]:
            self.fold(conv)
            self.widen(conv)
        del self.graph.value_info[:]  # shapes from before

    def weights(self, conv: Any) -> Any:
        """Return the DequantizeLinear of a convolution's weights, None when they are float or it has groups."""
        maker = self.makers.get(conv.input[1])
        groups = next((attribute.i for attribute in conv.attribute if attribute.name == "group"), 1)
        return maker if maker and maker.op_type == "DequantizeLinear" and groups == 1 else None

    def array(self, name: str) -> np.ndarray:
        """Return the values of an initializer."""
        return self.onnx.numpy_helper.to_array(self.tensors[name])

    def put(self, name: str, values: np.ndarray) -> None:
        """Give an initializer other values."""
        self.tensors[name].CopyFrom(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))

    def fold(self, conv: Any) -> None:
        """Let a convolution with an even kernel and stride 2 on the image work on the folded image."""
        opened: Any = self.makers.get(conv.input[0])
        closed: Any = self.makers.get(opened.input[0]) if opened else None
        on_image = closed and closed.op_type == "QuantizeLinear" and closed.input[0] == self.graph.input[0].name
        if not on_image or len(self.readers[closed.output[0]]) > 1 or len(self.readers[opened.output[0]]) > 1:
            return
        settings = {attribute.name: attribute for attribute in conv.attribute}
        sizes = {name: list(settings[name].ints) for name in ("kernel_shape", "pads", "strides", "dilations")}
        even = not any(n % FOLD for n in sizes["kernel_shape"] + sizes["pads"])
        if sizes["strides"] != [FOLD] * 2 or sizes["dilations"] != [1, 1] or not even:
            return
        source = self.weights(conv).input[0]
        self.put(source, folded(self.array(source)))
        for name, values in sizes.items():
            halved = values if name == "dilations" else [n // FOLD for n in values]
            settings[name].CopyFrom(self.onnx.helper.make_attribute(name, halved))
        name = f"{opened.input[0]}.folded"
        node = self.onnx.helper.make_node("SpaceToDepth", [opened.input[0]], [name], blocksize=FOLD)
        opened.input[0] = name
        self.graph.node.insert(list(self.graph.node).index(opened), node)

    def widen(self, conv: Any) -> None:
        """Give a convolution of fewer than OUTPUTS channels empty ones, if only convolutions read them.

        One of 1 × 1 is so quick that what the empty channels cost elsewhere is more than it saves.
        """
        weights = self.weights(conv)
        outputs, _, *kernel = self.array(weights.input[0]).shape
        missing = OUTPUTS - outputs
        readers = self.convolutions_behind(conv.output[0]) if missing > 0 and kernel != [1, 1] else None
        if not readers:
            return
        for values, scale, *zero in (node.input for node in (weights, *(self.makers[name] for name in conv.input[2:]))):
            self.put(scale, padded(self.array(scale), missing, 0, "edge"))  # a bias has the scales of input and weights
            for name in (values, *zero):
                self.put(name, padded(self.array(name), missing, 0))
        for name in dict.fromkeys(self.weights(reader).input[0] for reader in readers):
            self.put(name, padded(self.array(name), missing, 1))

    def convolutions_behind(self, name: str) -> list[Any] | None:
        """Return the quantized convolutions that read a map or what becomes of each number in it; None if others do."""
        found: list[Any] = []
        for node in self.readers.get(name, []):
            if node.op_type == "Conv" and self.weights(node):
                behind: list[Any] | None = [node]
            else:
                behind = self.convolutions_behind(node.output[0]) if node.op_type in PER_ELEMENT else None
            if behind is None:
                return None
            found += behind
        return found


def folded(weights: np.ndarray) -> np.ndarray:
    """Return weights [out, in, 2k, 2k] of stride 2 as [out, 4·in, k, k] of stride 1, for maps after SpaceToDepth."""
    out, channels, height, width = weights.shape
    parts = weights.reshape(out, channels, height // FOLD, FOLD, width // FOLD, FOLD)
    return parts.transpose(0, 3, 5, 1, 2, 4).reshape(out, FOLD * FOLD * channels, height // FOLD, width // FOLD)


def padded(values: np.ndarray, count: int, axis: int, mode: Literal["constant", "edge"] = "constant") -> np.ndarray:
    """Return an array with `count` zeros behind along an axis, or with its last numbers over again (mode "edge")."""
    return np.pad(values, [(0, count if i == axis else 0) for i in range(values.ndim)], mode)
