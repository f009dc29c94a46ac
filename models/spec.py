"""A model yaml as typed rows, and the tables of names that such a file may use.

Names are looked up, never evaluated. See the module docstring of models.yolo for how rows become a network.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import yaml
from torch import nn

from models import common

WIDTH_MULTIPLE_OF = 8  # channel counts are rounded up to this, unless the yaml says channel_multiple

# Layers whose first two constructor arguments are input and output channels.
CONVOLUTIONAL = {
    name: getattr(common, name)
    for name in (
        "Conv DWConv GhostConv Bottleneck GhostBottleneck SPP SPPF Focus CrossConv BottleneckCSP "
        "C3 C3x C3TR C3SPP C3Ghost"
    ).split()
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
ACTIVATIONS = {
    "nn.SiLU": nn.SiLU,
    "nn.ReLU": nn.ReLU,
    "nn.ReLU6": nn.ReLU6,
    "nn.LeakyReLU": nn.LeakyReLU,
    "nn.Hardswish": nn.Hardswish,
    "nn.Mish": nn.Mish,
    "nn.GELU": nn.GELU,
    "nn.ELU": nn.ELU,
    "nn.Sigmoid": nn.Sigmoid,
    "nn.Tanh": nn.Tanh,
    "nn.Identity": nn.Identity,
}
WORDS = {"None": None, "True": True, "False": False}  # yaml reads these spellings as text


class SpecError(ValueError):
    """A model description is wrong: one line that names the file, the row or key, the value and what would be right."""


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

    def width(self, channels):
        """Return the channel count of a row after the width multiple, rounded up."""
        return math.ceil(channels * self.width_multiple / self.multiple_of) * self.multiple_of

    def repeats(self, row):
        """Return how often a row repeats after the depth multiple."""
        return max(round(row.repeats * self.depth_multiple), 1) if row.repeats > 1 else row.repeats


def read_yaml(path):
    """Return the mapping in a model yaml. Raises SpecError when it cannot be read or is no mapping."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8", errors="ignore"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{path}: not valid yaml: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise SpecError(f"{path}: expected a mapping with nc, backbone and head, found {type(data).__name__}")
    return data


def parse_spec(config, origin="model yaml"):
    """Return the Spec of a mapping with nc, depth_multiple, width_multiple, anchors, backbone and head.

    Raises SpecError that names the key or row when something is missing, of the wrong type or unknown.
    """
    for key in ("nc", "depth_multiple", "width_multiple", "anchors", "backbone", "head"):
        if key not in config:
            raise SpecError(f"{origin}: key '{key}' is missing")
    for key in ("depth_multiple", "width_multiple"):
        if isinstance(config[key], bool) or not isinstance(config[key], (int, float)) or not 0 < config[key] < math.inf:
            raise SpecError(f"{origin}: {key}: {config[key]!r} must be a number above 0")
    for key in ("nc", "ch", "channel_multiple"):
        value = config.get(key, 1)  # the latter two may be missing
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SpecError(f"{origin}: {key}: {value!r} must be a whole number of 1 or more")
    rows = []
    for part in ("backbone", "head"):
        if not isinstance(config[part], list):
            raise SpecError(f"{origin}: {part} must be a list of rows [from, number, module, args]")
        rows += [parse_row(row, f"{origin}: {part} row {i}", len(rows) + i) for i, row in enumerate(config[part])]
    if not rows or rows[-1].name != DETECT:
        raise SpecError(f"{origin}: the last row of head must be {DETECT}")
    activation = config.get("activation") or config.get("act")
    if activation:
        make_activation(activation, f"{origin}: activation")  # fails now rather than in the middle of building
    return Spec(
        origin=origin,
        nc=config["nc"],
        depth_multiple=float(config["depth_multiple"]),
        width_multiple=float(config["width_multiple"]),
        anchors=parse_anchors(config["anchors"], origin),
        rows=tuple(rows),
        activation=activation,
        multiple_of=config.get("channel_multiple", WIDTH_MULTIPLE_OF),
    )


def parse_row(row, where, index):
    """Return a Row from its yaml list; `index` is the layer's number. Raises SpecError that begins with `where`."""
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
        raise SpecError(f"{where}: {row!r} must be [from, number, module, args]")
    source, repeats, name, args = row
    sources = source if isinstance(source, list) else [source]
    if not sources or not all(isinstance(s, int) and -max(index, 1) <= s < max(index, 1) for s in sources):
        raise SpecError(f"{where}: from {source!r} must name layers before this one ({index})")
    if not isinstance(repeats, int) or repeats < 1:
        raise SpecError(f"{where}: number {repeats!r} must be a whole number of 1 or more")
    if not isinstance(name, str) or (name not in LAYERS and name != DETECT):
        known = ", ".join(sorted([*LAYERS, DETECT]))
        raise SpecError(f"{where}: unknown layer {name!r}; known are {known}")
    if name in CONVOLUTIONAL and not (args and isinstance(args[0], int) and args[0] > 0):
        raise SpecError(f"{where}: args {args!r} of {name} must begin with the output channels")
    args = tuple(WORDS.get(a, a) if isinstance(a, str) else a for a in args)
    return Row(tuple(source) if isinstance(source, list) else source, repeats, name, args)


def parse_anchors(anchors, origin):
    """Return anchors as a tuple per scale of pixel values (w, h, w, h, …), or the number of anchors per scale."""
    if isinstance(anchors, int) and anchors > 0:
        return anchors
    if isinstance(anchors, list) and anchors and all(isinstance(a, list) and a and len(a) % 2 == 0 for a in anchors):
        numbers = [v for a in anchors for v in a]
        if len({len(a) for a in anchors}) == 1 and all(isinstance(v, (int, float)) and v > 0 for v in numbers):
            return tuple(tuple(float(v) for v in a) for a in anchors)
    raise SpecError(f"{origin}: anchors must be a number, or one list w,h,w,h,… above 0 per scale, all of one length")


def make_activation(text, where="activation"):
    """Return a new activation module from its description, such as "nn.LeakyReLU(0.1)".

    Raises SpecError that begins with `where` if it is unknown.
    """
    name, _, rest = str(text).partition("(")
    if name not in ACTIVATIONS:
        raise SpecError(f"{where}: unknown {text!r}; known are {', '.join(ACTIVATIONS)}")
    args, kwargs = [], {}
    for word in filter(None, (w.strip() for w in rest.rstrip(") ").split(","))):
        key, equals, value = word.rpartition("=")
        try:
            value = WORDS[value] if value in WORDS else float(value)
        except ValueError:
            raise SpecError(f"{where}: {text!r}: argument {word!r} must be a number, True or False") from None
        kwargs.update({key.strip(): value}) if equals else args.append(value)
    try:
        return ACTIVATIONS[name](*args, **kwargs)
    except TypeError:
        raise SpecError(f"{where}: {text!r}: these arguments do not fit {name}") from None
