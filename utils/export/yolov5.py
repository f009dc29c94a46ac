"""A pruned network as a model yaml of the public YOLOv5 (v6.0 to v7.0) and weights that fit it.

The public parser knows widths of whole layers only. A block whose inner widths are no longer those that its row implies
is written out in layers that say each width: Conv, Bottleneck with a fractional expansion, nn.MaxPool2d, Concat.
"""

import math
import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from models.common import C3, SPP, SPPF, Bottleneck, Conv
from models.errors import SpecError
from models.spec import CONVOLUTIONAL, DETECT, WIDTH_MULTIPLE_OF, Row, parse_spec
from models.yolo import DetectionModel, build_layer
from utils.errors import InputError


def stock_network(model: DetectionModel) -> tuple[dict[str, Any], DetectionModel]:
    """Return (yaml content, DetectionModel built from it) for a DetectionModel: the same network in public layers.

    Raises InputError that names the layer when one cannot be written so.
    """
    writer = StockWriter(model)
    for layer in model.model:
        writer.add_layer(layer)
    config = writer.config()
    stock = DetectionModel(config).eval()
    for target, source in zip(stock.model, writer.modules, strict=True):
        if source is not None:
            target.load_state_dict(source.state_dict())
    stock.names = dict(model.names)
    return config, stock


class StockWriter:
    """Writes the layers of a network as yaml rows, and remembers which module each row takes its tensors from."""

    def __init__(self, model: DetectionModel) -> None:
        """model: DetectionModel; it stays as it is."""
        self.model, self.spec = model, parse_spec(model.yaml, model.origin)
        self.exact = replace(self.spec, depth_multiple=1.0, width_multiple=1.0, multiple_of=1)
        self.widths = output_widths(model)
        self.rows: list[list[Any]] = []
        self.modules: list[nn.Module | None] = []  # whose tensors each row takes
        self.place: list[int] = []  # the row that gives the output of a layer

    def add(
        self, sources: int | list[int], name: str, args: list[Any], module: nn.Module | None = None, repeats: int = 1
    ) -> int:
        """Append a row that reads a row, or a list of rows; return its index. A row is its index; −1 the image."""
        last = len(self.rows) - 1
        listed = sources if isinstance(sources, list) else [sources]
        listed = [-1 if index == last else index for index in listed]
        self.rows.append([listed if isinstance(sources, list) else listed[0], repeats, name, args])
        self.modules.append(module)
        return last + 1

    def add_layer(self, layer: Any) -> None:
        """Append the rows of one layer of the network. Raises InputError."""
        row, i = self.spec.rows[layer.i], layer.i
        earlier = [s % i if i else None for s in ([layer.f] if isinstance(layer.f, int) else layer.f)]
        sources = [-1 if index is None else self.place[index] for index in earlier]
        if row.name == DETECT:
            self.add(sources, DETECT, ["nc", "anchors"], layer)
            return
        if isinstance(layer, nn.Identity):
            self.place.append(self.add(sources[0], "nn.Identity", [], layer))
            return
        inputs = [self.model.yaml["ch"] if index is None else self.widths[index] for index in earlier]
        args = [self.widths[i], *row.args[1:]] if row.name in CONVOLUTIONAL else list(row.args)
        repeats = self.spec.repeats(row)
        if self.fits(layer, Row(-1, repeats, row.name, tuple(args)), inputs):
            source = sources if isinstance(layer.f, list) else sources[0]
            self.place.append(self.add(source, row.name, args, layer, repeats))
        else:
            self.place.append(self.expand(layer, sources[0], f"layer {i} ({row.name})"))

    def fits(self, layer: nn.Module, row: Row, inputs: list[int]) -> bool:
        """Tell whether a row, parsed as it stands, gives a layer like this one."""
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a row that does not fit may ask for layers of no channels
                built, _ = build_layer(self.exact, row, inputs)
        except (TypeError, ValueError, RuntimeError, SpecError, AssertionError):  # attention asserts on its width
            return False
        return signature(built) == signature(layer)

    def expand(self, layer: Any, source: int, where: str) -> int:
        """Append the rows of a block with uneven widths; return the row of its output. Raises InputError."""
        writers = {Conv: self.conv, Bottleneck: self.bottleneck, C3: self.c3, SPPF: self.sppf, SPP: self.spp}
        if isinstance(layer, (nn.Sequential, nn.ModuleList)):
            for part in layer:
                source = self.expand(part, source, where)
            return source
        if isinstance(layer, nn.Identity):
            return source
        if type(layer) not in writers:
            known = ", ".join(cls.__name__ for cls in writers)
            raise InputError(
                f"{where}: uneven widths in a {type(layer).__name__}, for which a yaml has no rows (it has for {known})"
                "; the checkpoint itself runs in the public repository"
            )
        return writers[type(layer)](layer, source, where)

    def conv(self, layer: Any, source: int, where: str) -> int:
        """Append a Conv."""
        conv = layer.conv
        kernel, step, pad = conv.kernel_size, conv.stride, conv.padding
        even = len(set(kernel)) == len(set(step)) == len(set(pad)) == 1 and set(conv.dilation) == {1}
        if "bn" not in layer._modules or isinstance(layer.act, nn.Identity) or not even:
            raise InputError(f"{where}: a Conv without batch norm or activation, or not square, has no row of its own")
        args = [conv.out_channels, kernel[0], step[0], pad[0], conv.groups]
        return self.add(source, "Conv", args, layer)

    def bottleneck(self, layer: Any, source: int, where: str) -> int:
        """Append a Bottleneck with the expansion that gives its hidden width."""
        hidden, out = layer.cv1.conv.out_channels, layer.cv2.conv.out_channels
        args = [out, bool(layer.add), layer.cv2.conv.groups, expansion(hidden, out)]
        return self.add(source, "Bottleneck", args, layer)

    def c3(self, layer: Any, source: int, where: str) -> int:
        """Append a C3: two branches, joined."""
        inner = self.expand(layer.m, self.conv(layer.cv1, source, where), where)
        beside = self.conv(layer.cv2, source, where)
        return self.conv(layer.cv3, self.add([inner, beside], "Concat", [1]), where)

    def sppf(self, layer: Any, source: int, where: str) -> int:
        """Append an SPPF: one pool three times."""
        maps = [self.conv(layer.cv1, source, where)]
        for _ in range(3):
            maps.append(self.pool(layer.m, maps[-1]))
        return self.conv(layer.cv2, self.add(maps, "Concat", [1]), where)

    def spp(self, layer: Any, source: int, where: str) -> int:
        """Append an SPP: pools in parallel."""
        first = self.conv(layer.cv1, source, where)
        maps = [first, *(self.pool(pool, first) for pool in layer.m)]
        return self.conv(layer.cv2, self.add(maps, "Concat", [1]), where)

    def pool(self, layer: Any, source: int) -> int:
        """Append a max pool."""
        return self.add(source, "nn.MaxPool2d", [layer.kernel_size, layer.stride, layer.padding])

    def config(self) -> dict[str, Any]:
        """Return the content of the yaml."""
        model, detect = self.model, self.model.model[-1]
        anchors = (detect.anchors * detect.stride.view(-1, 1, 1)).flatten(1).tolist()
        # Where the backbone ends means nothing to the parser; the reader finds it at the same layer as before.
        split = self.place[len(model.yaml["backbone"]) - 1] + 1
        config = {"nc": model.nc, "depth_multiple": 1.0, "width_multiple": 1.0, "anchors": anchors}
        config |= {"activation": self.spec.activation} if self.spec.activation else {}
        widths = [row[3][0] for row in self.rows if row[2] in CONVOLUTIONAL]
        if any(width % WIDTH_MULTIPLE_OF for width in widths):
            config["channel_multiple"] = math.gcd(*widths)
        return config | {"backbone": self.rows[:split], "head": self.rows[split:]}


def output_widths(model: DetectionModel) -> list[Any]:
    """Return the output channels of each layer of a DetectionModel, None for Detect."""
    widths: list[int | None] = [None] * len(model.model)

    def note(layer: Any, _: Any, output: Any) -> None:
        """Keep the output channels of one layer."""
        widths[layer.i] = output.shape[1] if isinstance(output, torch.Tensor) else None

    handles = [layer.register_forward_hook(note) for layer in model.model]
    try:
        with torch.no_grad():
            side = model.size_multiple
            model.run_layers(torch.zeros(1, model.yaml["ch"], side, side))
    finally:
        for handle in handles:
            handle.remove()
    return widths


def signature(layer: nn.Module) -> tuple[list[Any], list[Any]]:
    """Return what two layers must share to be the same apart from the values of their tensors."""
    parts = [(name, type(part), getattr(part, "add", None)) for name, part in layer.named_modules()]
    return parts, [(name, tuple(tensor.shape)) for name, tensor in layer.state_dict().items()]


def expansion(hidden: int, out: int) -> float:
    """Return the shortest decimal e with int(out · e) == hidden."""
    for digits in range(1, 17):
        e = round((hidden + 0.5) / out, digits)
        if int(out * e) == hidden:
            return e
    raise AssertionError(f"no expansion for {hidden} of {out}")
