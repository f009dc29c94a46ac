"""Reading and writing `.pt` files: read without running anything from them, written so that nothing is ever lost.

A YOLOv5 checkpoint is a pickled network. Reading maps each class it names to an inert Record that only holds attributes;
the network is then built by our own constructors from the yaml rows in the file, every layer is given the widths of its
tensors, and tensors and plain values are taken over. So a network pruned by any tool loads, and code in a file never runs.
"""

import io
import os
import pickle
import warnings
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from models import common, yolo
from models.spec import ACTIVATIONS, LAYERS, SpecError
from models.yolo import DetectionModel
from utils.errors import InputError

MODEL_CLASSES = {"models.yolo.DetectionModel", "models.yolo.Model"}  # the second in files before v6.2
LEAF_CLASSES = (
    *ACTIVATIONS.values(),
    nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Upsample, nn.ZeroPad2d, nn.Identity,
    nn.Linear, nn.MultiheadAttention, nn.modules.linear.NonDynamicallyQuantizableLinear, nn.Dropout, nn.Flatten,
    nn.Sequential, nn.ModuleList,
)  # fmt: skip
PLAIN_CALLABLES = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"}



def class_name(cls):
    """Return the dotted name that a pickle uses for a class."""
    return f"{cls.__module__}.{cls.__name__}"


ACTIVATION_CLASSES = {class_name(cls): cls for cls in ACTIVATIONS.values()}


class Record:
    """An inert stand-in for an object of a checkpoint: its attributes and nothing else."""

    def __init__(self, *args):
        self.args = args

    def __setstate__(self, state):
        if isinstance(state, dict):
            self.__dict__.update(state)


def known_classes():
    """Return {dotted name: Record subclass} of all that a checkpoint may name."""
    blocks = [c for c in vars(common).values() if isinstance(c, type) and issubclass(c, nn.Module)]
    names = {class_name(c) for c in (*LEAF_CLASSES, *LAYERS.values(), *blocks, yolo.Detect)}
    names |= MODEL_CLASSES | PLAIN_CALLABLES | {"pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath"}
    return {name: type(name, (Record,), {"kind": name}) for name in names}


@dataclass
class Checkpoint:
    """A file that was read: the network (float32, on the CPU, evaluation mode) and the other entries of the file."""

    path: Path
    model: DetectionModel
    ema: DetectionModel | None = None
    entries: dict = field(default_factory=dict)  # epoch, best_fitness, updates, optimizer, opt, date, state


def read_file(path):
    """Return the content of a `.pt` with every object in it as a Record. Raises InputError that names what is wrong."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such weight file")
    classes = known_classes()
    try:
        with safe_globals([(cls, name) for name, cls in classes.items()]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickles that are none of PyTorch's: the error says it
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(f"{path}: {explain_refusal(path, classes)}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, OSError, UnicodeDecodeError) as error:
        known = isinstance(error, (RuntimeError, OSError)) and str(error)
        reason = str(error).splitlines()[0].partition(". ")[0] if known else "no such format"
        raise InputError(f"{path}: not a readable PyTorch checkpoint ({reason})") from None


def explain_refusal(path, known):
    """Return in words what in the file is not allowed."""
    try:
        found = sorted(set(get_unsafe_globals_in_checkpoint(path)) - set(known))
    except (RuntimeError, ValueError, pickle.UnpicklingError):
        found = []
    if not found:
        return "not a readable PyTorch checkpoint"
    return f"refused, it contains {', '.join(found[:5])}, which is no part of a YOLOv5 checkpoint and could run code"


def load_checkpoint(path):
    """Return the Checkpoint in a `.pt` file: `ema` of an unfinished run stands in for a model that is None.

    Raises InputError when the file is missing, unreadable, contains foreign classes, or holds no detector.
    """
    content = read_file(path)
    if not isinstance(content, dict) or not any(is_model(content.get(key)) for key in ("model", "ema")):
        found = ", ".join(map(str, list(content)[:6])) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: no YOLOv5 detection model inside (found: {found}); expected an entry 'model' or 'ema'")
    models = {}
    for key in ("model", "ema"):
        try:
            models[key] = build_model(content[key]) if is_model(content.get(key)) else None
        except SpecError as error:
            raise InputError(f"{path}: {error}") from None
    entries = {k: plain(v) for k, v in content.items() if k not in models}
    if models["model"] is None:
        models = {"model": models["ema"], "ema": None}
    return Checkpoint(Path(path), models["model"], models["ema"], entries)


def is_model(value):
    """Tell whether a value read from a file is a detection network."""
    return getattr(value, "kind", None) in MODEL_CLASSES


def plain(value):
    """Return a value of a checkpoint without Records: numpy scalars as floats, other objects as None."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    if isinstance(value, Record):
        return None
    return value


def build_model(record):
    """Return the DetectionModel described by a Record: rows from its yaml, widths and values from its tensors.

    Raises SpecError when rows and tensors, or the tensors of two layers, do not belong together, and for NaN.
    """
    config = getattr(record, "yaml", None)
    if not isinstance(config, dict):
        raise SpecError("the model carries no yaml rows, so its architecture is unknown")
    config = {**config, "nc": getattr(record, "nc", config.get("nc"))}
    with torch.device("meta"):  # shapes only: the values come from the file
        model = DetectionModel(config)
    model.yaml = config
    take_over(model, record, "model")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_meta:
            raise SpecError(f"{name} is missing in the file")
        if tensor.isnan().any():
            raise SpecError(f"{name} holds NaN: the network is damaged; use an earlier checkpoint")
    model.eval().measure_strides(config.get("ch", 3), model.size_multiple)  # runs it once: do the widths fit each other?
    model.names = read_names(getattr(record, "names", None), model.nc)
    return model.float().eval().requires_grad_(True)


def read_names(names, nc):
    """Return class names as {index: name} from a list or dict; class numbers where the file has none that fit."""
    names = dict(enumerate(names)) if isinstance(names, (list, tuple)) else names
    if not isinstance(names, dict) or len(names) != nc:
        return {i: f"class{i}" for i in range(nc)}
    return {int(i): str(name) for i, name in names.items()}


def take_over(module, record, path):
    """Copy tensors and structure of a Record into a module built from rows; `path` is for messages.

    Differences that pruning tools and fusing leave are followed: other widths, an Identity in the place of a block,
    a convolution with the batch norm folded in. Raises SpecError for any other difference.
    """
    for name, tensor in merged(record, "_parameters").items():
        if tensor is not None:
            setattr(module, name, nn.Parameter(tensor.detach().float()))
    for name, tensor in merged(record, "_buffers").items():
        if name in module._buffers and tensor is not None:
            module._buffers[name] = tensor.float() if tensor.is_floating_point() else tensor
    adopt_widths(module)
    children = merged(record, "_modules")
    for name, child in list(module._modules.items()):
        if child is None:
            continue
        place = f"{path}.{name}"
        if name not in children:
            if name == "bn" and isinstance(module, common.Conv):  # folded into the convolution
                del module._modules["bn"]
                continue
            raise SpecError(f"{place} ({type(child).__name__}) is missing in the file")
        found = children[name]
        if found.kind == class_name(nn.Identity) and not isinstance(child, nn.Identity):
            setattr(module, name, keep_place(child, nn.Identity()))
            continue
        if found.kind in ACTIVATION_CLASSES and class_name(type(child)) in ACTIVATION_CLASSES:
            setattr(module, name, read_activation(found))  # older versions used others by default
            continue
        if found.kind != class_name(type(child)):
            raise SpecError(f"{place}: the rows say {class_name(type(child))}, the file holds {found.kind}")
        take_over(child, found, place)
    extra = sorted(set(children) - set(module._modules) - {"bn"})
    if extra:
        raise SpecError(f"{path}.{extra[0]}: in the file, but not in the rows of its yaml")
    if hasattr(module, "add"):
        module.add = bool(getattr(record, "add", module.add))


def merged(record, key):
    """Return a module dictionary of a Record ({} when absent)."""
    return getattr(record, key, None) or {}


def read_activation(record):
    """Return the activation module that a Record describes."""
    settings = {k: getattr(record, k) for k in ("inplace", "negative_slope", "alpha") if hasattr(record, k)}
    return ACTIVATION_CLASSES[record.kind](**settings)


def keep_place(old, new):
    """Give `new` the attributes that mark a layer's place in the network, and return it."""
    for name in ("i", "f", "type", "np"):
        if hasattr(old, name):
            setattr(new, name, getattr(old, name))
    return new


def adopt_widths(module):
    """Set a leaf's channel counts to those of its tensors."""
    if isinstance(module, nn.Conv2d):
        out, per_group = module.weight.shape[:2]
        depthwise = module.groups == module.in_channels and module.groups > 1
        module.groups = out if depthwise and per_group == 1 else module.groups
        module.out_channels, module.in_channels = out, per_group * module.groups
        module.kernel_size = tuple(module.weight.shape[2:])
    elif isinstance(module, nn.BatchNorm2d):
        module.num_features = module.weight.shape[0]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape


def save_checkpoint(path, content):
    """Write a checkpoint so that a crash leaves either the old file or the new one: beside, flush, fsync, rename.

    Raises InputError when the folder cannot be written.
    """
    write_atomically(path, checkpoint_bytes(content))


def checkpoint_bytes(content):
    """Return a checkpoint as the bytes of its file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write_atomically(path, data):
    """Replace the file at `path` by bytes, by way of a file beside it. Raises InputError when that fails."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def finished_content(model, **entries):
    """Return the content of a finished checkpoint: FP16 weights without gradients, no optimizer, epoch −1."""
    model = deepcopy(model).half().cpu().to(memory_format=torch.contiguous_format)
    for module in model.modules():
        module.training = False
    model.model[-1].grid = [torch.empty(0) for _ in range(model.model[-1].nl)]
    model.model[-1].anchor_grid = [torch.empty(0) for _ in range(model.model[-1].nl)]
    model.requires_grad_(False)
    content = {"epoch": -1, "best_fitness": None, "model": model, "ema": None, "updates": None, "optimizer": None}
    return {**content, "opt": None, "git": None, "date": None, **entries}
