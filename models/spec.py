"""A model yaml as typed rows, and the tables of names that such a file may use.

Names are looked up, never evaluated. See the module docstring of models.yolo for how rows become a network.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from models import common, limits
from models.activations import ACTIVATION_NAMES, WORDS, parse_activation
from models.errors import SpecError, shown
from models.safe_yaml import YamlError, load_mapping

WIDTH_MULTIPLE_OF = 8  # channel counts are rounded up to this, unless the yaml says channel_multiple

# Layers whose first two constructor arguments are input and output channels.
CONVOLUTIONAL = {
    name: getattr(common, name)
    for name in (
        *("Conv", "DWConv", "GhostConv", "CrossConv", "Focus", "SPP", "SPPF"),
        *("Bottleneck", "GhostBottleneck", "BottleneckCSP", "C3", "C3x", "C3TR", "C3SPP", "C3Ghost"),
    )
}
# … of which these take the number of repeats as a third argument instead of being repeated.
REPEATS_INSIDE = {"BottleneckCSP", "C3", "C3x", "C3TR", "C3Ghost"}
# Layers whose arguments are passed on as written.
PLAIN = {
    "Concat": common.Concat,
    "Contract": common.Contract,
    "Expand": common.Expand,
    "nn.Upsample": nn.Upsample,
    "nn.MaxPool2d": nn.MaxPool2d,
    "nn.AvgPool2d": nn.AvgPool2d,
    "nn.ZeroPad2d": nn.ZeroPad2d,
    "nn.Identity": nn.Identity,
    "nn.BatchNorm2d": nn.BatchNorm2d,
}
DETECT = "Detect"
LAYERS = {**CONVOLUTIONAL, **PLAIN}
ACTIVATIONS = {name: getattr(nn, name.removeprefix("nn.")) for name in ACTIVATION_NAMES}
BEYOND = 10**9  # stands for all numbers too large to be computed with: above every limit


@dataclass(frozen=True)
class Row:
    """One layer: where its input comes from, how often it repeats, its name and its arguments as written."""

    source: int | tuple[int, ...]
    repeats: int
    name: str
    args: tuple


@dataclass(frozen=True)
class Spec:
    """A model yaml, checked: all that is needed to build the network."""

    origin: str  # file name for messages
    nc: int
    depth_multiple: float
    width_multiple: float
    anchors: tuple[tuple[float, ...], ...] | int
    rows: tuple[Row, ...]
    activation: str | None
    multiple_of: int

    def width(self, channels: int) -> int:
        """Return the channel count of a row after the width multiple, rounded up."""
        return math.ceil(min(channels, BEYOND) * min(self.width_multiple, BEYOND) / self.multiple_of) * self.multiple_of

    def repeats(self, row: Row) -> int:
        """Return how often a row repeats after the depth multiple."""
        return (
            max(round(min(row.repeats, BEYOND) * min(self.depth_multiple, BEYOND)), 1)
            if row.repeats > 1
            else row.repeats
        )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a model yaml. Raises SpecError when it cannot be read or is no mapping."""
    try:
        return load_mapping(path, "nc, backbone and head")
    except YamlError as error:
        raise SpecError(str(error)) from None


def parse_spec(config: dict[str, Any], origin: str = "model yaml") -> Spec:
    """Return the Spec of a mapping with nc, depth_multiple, width_multiple, anchors, backbone and head.

    Raises SpecError that names the key or row when something is missing, of the wrong type or unknown.
    """
    for key in ("nc", "depth_multiple", "width_multiple", "anchors", "backbone", "head"):
        if key not in config:
            raise SpecError(f"{origin}: key '{key}' is missing")
    for key in ("depth_multiple", "width_multiple"):
        if isinstance(config[key], bool) or not isinstance(config[key], (int, float)) or not 0 < config[key] < BEYOND:
            raise SpecError(f"{origin}: {key}: {shown(config[key])} must be a number above 0, below {BEYOND:,}")
    for key in ("nc", "ch", "channel_multiple"):
        value = config.get(key, 1)  # the latter two may be missing
        most = {"nc": limits.CLASSES, "ch": limits.IMAGE_CHANNELS}.get(key, limits.CHANNELS)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise SpecError(f"{origin}: {key}: {shown(value)} must be a whole number from 1 to {most}")
    rows: list[Row] = []
    for part in ("backbone", "head"):
        if not isinstance(config[part], list):
            raise SpecError(f"{origin}: {part} must be a list of rows [from, number, module, args]")
        rows += [parse_row(row, f"{origin}: {part} row {i}", len(rows) + i) for i, row in enumerate(config[part])]
    if not rows or rows[-1].name != DETECT:
        raise SpecError(f"{origin}: the last row of head must be {DETECT}")
    spec = Spec(
        origin=origin,
        nc=config["nc"],
        depth_multiple=float(config["depth_multiple"]),
        width_multiple=float(config["width_multiple"]),
        anchors=parse_anchors(config["anchors"], origin),
        rows=tuple(rows),
        activation=config.get("activation") or config.get("act"),
        multiple_of=config.get("channel_multiple", WIDTH_MULTIPLE_OF),
    )
    if spec.activation:
        make_activation(spec.activation, f"{origin}: activation")  # fails now rather than in the middle of building
    check_size(spec)
    return spec


def check_size(spec: Spec) -> None:
    """Raise SpecError when a Spec describes more layers, or wider ones, than any detector has."""
    count = sum(spec.repeats(row) for row in spec.rows)
    if count > limits.LAYERS:
        raise SpecError(f"{spec.origin}: {count:,} layers after depth_multiple; must be at most {limits.LAYERS:,}")
    for number, row in enumerate(spec.rows):
        if row.name in CONVOLUTIONAL and spec.width(row.args[0]) > limits.CHANNELS:
            raise SpecError(
                f"{spec.origin}: layer {number} ({row.name}): {shown(row.args[0])} channels times width_multiple "
                f"{spec.width_multiple:g}; must be at most {limits.CHANNELS:,}"
            )


def parse_row(row: Any, where: str, index: int) -> Row:
    """Return a Row from its yaml list; `index` is the layer's number. Raises SpecError that begins with `where`."""
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
        raise SpecError(f"{where}: {shown(row)} must be [from, number, module, args]")
    source, repeats, name, args = row
    sources = source if isinstance(source, list) else [source]
    if not sources or not all(isinstance(s, int) and -max(index, 1) <= s < index for s in sources):
        raise SpecError(f"{where}: from {shown(source)} must name layers before this one ({index})")
    if not isinstance(repeats, int) or repeats < 1:
        raise SpecError(f"{where}: number {shown(repeats)} must be a whole number of 1 or more")
    if not isinstance(name, str) or (name not in LAYERS and name != DETECT):
        known = ", ".join(sorted([*LAYERS, DETECT]))
        raise SpecError(f"{where}: unknown layer {shown(name)}; known are {known}")
    if name in CONVOLUTIONAL and not (args and isinstance(args[0], int) and args[0] > 0):
        raise SpecError(f"{where}: args {shown(args)} of {name} must begin with the output channels")
    args = tuple(WORDS.get(a, a) if isinstance(a, str) else a for a in args)
    for number in numbers_in(args[1:] if name in CONVOLUTIONAL else args):
        if not -limits.KERNEL <= number <= limits.KERNEL and name != DETECT:
            raise SpecError(f"{where}: {shown(number)} in the args of {name}: must be at most {limits.KERNEL}")
    return Row(tuple(source) if isinstance(source, list) else source, repeats, name, args)


def numbers_in(values: Iterable[Any]) -> list[float]:
    """Return the numbers in arguments, those of lists inside included."""
    flat = [v for value in values for v in (value if isinstance(value, (list, tuple)) else [value])]
    return [v for v in flat if isinstance(v, (int, float)) and not isinstance(v, bool)]


def parse_anchors(anchors: Any, origin: str) -> int | tuple[tuple[float, ...], ...]:
    """Return anchors as a tuple per scale of pixel values (w, h, w, h, …), or the number of anchors per scale."""
    if isinstance(anchors, int) and not isinstance(anchors, bool) and 0 < anchors <= limits.ANCHORS:
        return anchors
    if isinstance(anchors, list) and anchors and all(isinstance(a, list) and a and len(a) % 2 == 0 for a in anchors):
        numbers = [v for a in anchors for v in a]
        if (
            len({len(a) for a in anchors}) == 1
            and len(anchors[0]) <= 2 * limits.ANCHORS
            and all(isinstance(v, (int, float)) and 0 < v < BEYOND for v in numbers)
        ):
            return tuple(tuple(float(v) for v in a) for a in anchors)
    raise SpecError(
        f"{origin}: anchors must be a number, or one list w,h,w,h,… above 0 per scale, all of one "
        f"length; at most {limits.ANCHORS} a scale"
    )


def layer_arguments(spec: Spec, row: Row, inputs: list[int]) -> tuple[list[Any], int, Any]:
    """Return (constructor arguments, number of modules in a row, output channels) of one row, as for build_layer."""
    repeats, args = spec.repeats(row), list(row.args)
    width = inputs[0]
    if row.name == DETECT:
        anchors: Any = spec.anchors
        if isinstance(anchors, int):  # as many placeholders, none of size 0, to be estimated from the data
            anchors = [list(range(1, anchors * 2 + 1))] * len(inputs)
        if len(anchors) != len(inputs):
            raise ValueError(f"{len(anchors)} lists of anchors for {len(inputs)} scales")
        return [spec.nc, anchors, inputs], 1, None
    if row.name in CONVOLUTIONAL:
        width = spec.width(args[0])
        args[:1] = [inputs[0], width]
        if row.name in REPEATS_INSIDE:
            args.insert(2, repeats)
            repeats = 1
    elif row.name == "Concat":
        width = sum(inputs)
    elif row.name == "Contract":
        width = inputs[0] * args[0] ** 2
    elif row.name == "Expand":
        width = inputs[0] // args[0] ** 2
    elif row.name == "nn.BatchNorm2d":
        args = inputs
    return args, repeats, width


def make_activation(text: str, where: str = "activation") -> nn.Module:
    """Return a new activation module from its description, such as "nn.LeakyReLU(0.1)".

    Raises SpecError that begins with `where` if it is unknown.
    """
    name, args, kwargs = parse_activation(text, where)
    try:
        return ACTIVATIONS[name](*args, **kwargs)
    except TypeError:
        raise SpecError(f"{where}: {text!r}: these arguments do not fit {name}") from None
