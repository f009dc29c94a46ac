"""Reading a `.pt` without running anything from it: each object becomes an inert StandIn that only holds attributes."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.serialization import safe_globals

from models import common, yolo
from models.errors import SpecError, shown
from models.spec import ACTIVATIONS, LAYERS
from utils.errors import InputError, blaming, readable
from utils.files.claims import check_claims

MODEL_CLASSES = {"models.yolo.DetectionModel", "models.yolo.Model"}  # the second in files before v6.2
LEAF_CLASSES = (
    *ACTIVATIONS.values(),
    nn.Conv2d,
    nn.BatchNorm2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Upsample,
    nn.ZeroPad2d,
    nn.Identity,
    nn.Linear,
    nn.MultiheadAttention,
    nn.modules.linear.NonDynamicallyQuantizableLinear,
    nn.Dropout,
    nn.Flatten,
    nn.Sequential,
    nn.ModuleList,
)
PLAIN_CALLABLES = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"}


def class_name(cls: type) -> str:
    """Return the dotted name that a pickle uses for a class."""
    return f"{cls.__module__}.{cls.__name__}"


ACTIVATION_CLASSES = {class_name(cls): cls for cls in ACTIVATIONS.values()}


class StandIn:
    """An inert stand-in for an object of a checkpoint: its attributes and nothing else."""

    kind: str  # dotted name of the class that it stands for
    yaml: Any  # of a network, as are the next two
    nc: Any
    _modules: dict[str, Any]

    def __init__(self, *args: object) -> None:
        self.args = args

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


def known_classes() -> dict[str, type[StandIn]]:
    """Return {dotted name: StandIn subclass} of all that a checkpoint may name."""
    blocks = [c for c in vars(common).values() if isinstance(c, type) and issubclass(c, nn.Module)]
    names = {class_name(c) for c in (*LEAF_CLASSES, *LAYERS.values(), *blocks, yolo.Detect)}
    names |= MODEL_CLASSES | PLAIN_CALLABLES | {"pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath"}
    return {name: type(name, (StandIn,), {"kind": name}) for name in names}


def read_file(path: str | Path) -> Any:
    """Return the content of a `.pt` with every object in it as a StandIn. Raises InputError that names what is wrong.

    What the file claims is held against what it has before PyTorch allocates anything (utils.files.claims).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such weight file")
    classes = known_classes()
    with readable(path, "PyTorch checkpoint"):
        with blaming(f"{path}:"):
            check_claims(path, classes.keys())
        with safe_globals([(cls, name) for name, cls in classes.items()]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickles that are none of PyTorch's: the error says it
            return torch.load(path, map_location="cpu", weights_only=True)


def is_model(value: object) -> bool:
    """Tell whether a value read from a file is a detection network."""
    return getattr(value, "kind", None) in MODEL_CLASSES


def plain(value: Any) -> Any:
    """Return a value of a checkpoint without Records: numpy scalars as floats, other objects as None."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    if isinstance(value, StandIn):
        return None
    return value


def merged(record: StandIn, key: str) -> dict[str, Any]:
    """Return a module dictionary of a StandIn ({} when absent). Raises SpecError when it is none."""
    found = getattr(record, key, None)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SpecError(f"{key}: {shown(found)} must be a dictionary")
    return found


def read_activation(record: StandIn) -> nn.Module:
    """Return the activation module that a StandIn describes."""
    settings = {k: getattr(record, k) for k in ("inplace", "negative_slope", "alpha") if hasattr(record, k)}
    return ACTIVATION_CLASSES[record.kind](**settings)
