"""Reading and writing `.pt` files: read without running anything from them, written so that nothing is ever lost.

A YOLOv5 checkpoint is a pickled network. Reading maps each class it names to an inert StandIn that only holds
attributes; the network is then built by our own constructors from the yaml rows in the file, every layer is given the
widths of its tensors, and tensors and plain values are taken over. So a network pruned by any tool loads, and code in a
file never runs.
"""

import io
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import common, limits
from models.errors import SpecError, shown
from models.spec import read_yaml
from models.yolo import DetectionModel
from utils.errors import InputError, readable
from utils.files.atomic import write_atomically
from utils.files.pickles import (
    ACTIVATION_CLASSES,
    StandIn,
    class_name,
    is_model,
    merged,
    plain,
    read_activation,
    read_file,
)

WEIGHTS_ENTRIES = ("state_dict", "model_state_dict", "model", "ema")  # where files without a network keep its tensors


@dataclass
class Checkpoint:
    """A file that was read: the network (float32, on the CPU, evaluation mode) and the other entries of the file."""

    path: Path
    model: DetectionModel
    ema: DetectionModel | None = None
    entries: dict = field(default_factory=dict)  # epoch, best_fitness, updates, optimizer, opt, date, state
    tensors_only: bool = False  # the file says no architecture; that is of a model yaml

    @property
    def finished(self) -> bool:
        """Whether it is of a run that ended, or of none: there is nothing to go on from."""
        return self.entries.get("epoch", -1) == -1

    @property
    def network(self) -> DetectionModel:
        """The network to use: of an unfinished run, the moving average is what counts."""
        return self.ema or self.model


def load_checkpoint(path: str | Path, cfg: str | Path | None = None) -> Checkpoint:
    """Return the Checkpoint in a `.pt` file: `ema` of an unfinished run stands in for a model that is None.

    cfg: path of the model yaml of a file that holds tensors only (a state dict); no other file needs it.

    Raises InputError when the file is missing, unreadable, contains foreign classes, or holds no detector.
    """
    content = read_file(path)
    with readable(path, "YOLOv5 checkpoint"):
        return checkpoint_of(content, path, cfg)


def checkpoint_of(content: Any, path: str | Path, cfg: str | Path | None) -> Checkpoint:
    """Return the Checkpoint of a file's content, as for load_checkpoint."""
    tensors = find_tensors(content)
    try:
        if tensors is not None and cfg:
            return Checkpoint(Path(path), model_from_tensors(read_yaml(cfg), tensors), tensors_only=True)
        if tensors is not None:
            raise InputError(
                f"{path}: holds tensors only (a state dict); say its architecture, such as --cfg yolov5s.yaml"
            )
        if not isinstance(content, dict) or not any(is_model(content.get(key)) for key in ("model", "ema")):
            found = ", ".join(map(str, list(content)[:6])) if isinstance(content, dict) else type(content).__name__
            raise InputError(
                f"{path}: no YOLOv5 detection model inside (found: {found}); expected an entry 'model' or 'ema'"
            )
        models: dict[str, Any] = {
            key: build_model(content[key]) if is_model(content.get(key)) else None for key in ("model", "ema")
        }
    except SpecError as error:
        raise InputError(f"{path}: {error}") from None
    entries = {k: plain(v) for k, v in content.items() if k not in models}
    if models["model"] is None:
        models = {"model": models["ema"], "ema": None}
    return Checkpoint(Path(path), models["model"], models["ema"], entries)


def find_tensors(content: Any) -> dict[str, torch.Tensor] | None:
    """Return the {name: tensor} that a file without a network consists of, or holds under a usual name; else None."""
    places = [content, *(content.get(key) for key in WEIGHTS_ENTRIES)] if isinstance(content, dict) else []
    for place in places:
        if isinstance(place, dict) and place and all(isinstance(value, torch.Tensor) for value in place.values()):
            return {name.removeprefix("module."): value for name, value in place.items()}  # of DistributedDataParallel
    return None


def model_from_tensors(config: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> DetectionModel:
    """Return the DetectionModel of a model yaml's content with the tensors {name: tensor} of a state dict.

    The number of classes and all widths are those of the tensors. Raises SpecError when they do not belong together.
    """
    skeleton = empty_model(config)
    detect = skeleton.model[-1]
    bias = tensors.get(f"model.{len(skeleton.model) - 1}.m.0.bias")
    if bias is None:
        raise SpecError(
            f"model.{len(skeleton.model) - 1}.m.0.bias is missing in the file: it does not fit the model yaml"
        )
    record, used = record_of(skeleton, tensors)
    extra = sorted(name for name in set(tensors) - used if not name.endswith("anchor_grid"))  # a buffer until v5
    if extra:
        raise SpecError(f"{extra[0]}: in the file, but not in the rows of the model yaml")
    record.yaml, record.nc = config, len(bias) // detect.na - 5
    return build_model(record)


def record_of(module: nn.Module, tensors: Mapping[str, torch.Tensor], prefix: str = "") -> tuple[StandIn, set[str]]:
    """Return (StandIn of a module with the tensors whose names start with prefix, the set of names used)."""
    record = StandIn()
    record.kind, used = class_name(type(module)), set()
    for key in ("_parameters", "_buffers"):
        names = {name: prefix + name for name in getattr(module, key)}
        setattr(record, key, {name: tensors.get(full) for name, full in names.items()})
        used |= tensors.keys() & names.values()
    record._modules = {}
    for name, child in module._modules.items():
        folded = name == "bn" and not any(key.startswith(f"{prefix}bn.") for key in tensors)
        if child is not None and not folded:
            record._modules[name], below = record_of(child, tensors, f"{prefix}{name}.")
            used |= below
    return record, used


def empty_model(config: dict[str, Any]) -> DetectionModel:
    """Return the DetectionModel of a yaml's content without values: shapes only."""
    with torch.device("meta"):
        return DetectionModel(config)


def build_model(record: StandIn) -> DetectionModel:
    """Return the DetectionModel described by a StandIn: rows from its yaml, widths and values from its tensors.

    Raises SpecError when rows and tensors, or the tensors of two layers, do not belong together, and for NaN.
    """
    config = getattr(record, "yaml", None)
    if not isinstance(config, dict):
        raise SpecError("the model carries no yaml rows, so its architecture is unknown")
    config = {"ch": 3, **config, "nc": getattr(record, "nc", config.get("nc"))}
    model = empty_model(config)
    model.yaml = config
    take_over(model, record, "model")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_meta:
            raise SpecError(f"{name} is missing in the file")
        if not tensor.isfinite().all():
            value = "NaN" if tensor.isnan().any() else "infinity"
            raise SpecError(f"{name} holds {value}: the network is damaged; use an earlier checkpoint")
        if name.endswith("running_var") and (tensor < 0).any():
            raise SpecError(f"{name} holds a negative variance: the network is damaged; use an earlier checkpoint")
    detect = model.model[-1]
    if detect.anchors.shape != (detect.nl, detect.na, 2):
        raise SpecError(f"anchors: {tuple(detect.anchors.shape)} must be {(detect.nl, detect.na, 2)}, as the rows say")
    model.eval().set_strides()  # runs it once: do the widths fit each other?
    model.names = read_names(getattr(record, "names", None), model.nc)
    return model.float().eval().requires_grad_(True)


def read_names(names: Any, nc: int) -> dict[int, str]:
    """Return class names as {index: name} from a list or dict; class numbers where the file has none that fit."""
    names = dict(enumerate(names)) if isinstance(names, (list, tuple)) else names
    if not isinstance(names, dict) or {str(i) for i in names} != {str(i) for i in range(nc)}:
        return {i: f"class{i}" for i in range(nc)}
    longest = max(map(len, map(str, names.values())))
    if longest > limits.NAME_LENGTH:
        raise SpecError(f"names: a class name of {longest:,} characters; must be at most {limits.NAME_LENGTH}")
    return {int(i): str(name) for i, name in names.items()}


def take_over(module: Any, record: StandIn, path: str) -> None:
    """Copy tensors and structure of a StandIn into a module built from rows; `path` is for messages.

    Differences that pruning tools and fusing leave are followed: other widths, an Identity in place of a block,
    a convolution with the batch norm folded in. Raises SpecError for any other difference.
    """
    for name, tensor in own_tensors(record, "_parameters", module._parameters, path).items():
        setattr(module, name, nn.Parameter(tensor.detach().float()))
    for name, tensor in own_tensors(record, "_buffers", module._buffers, path).items():
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


def own_tensors(record: StandIn, key: str, places: Mapping[str, Any], path: str) -> dict[str, torch.Tensor]:
    """Return {name: tensor} of a module dictionary of a StandIn, checked against the module's `places` {name: tensor}.

    A buffer that the module has no place for is left out: older files hold grids. Raises SpecError for all else that
    does not fit.
    """
    found = {}
    for name, tensor in merged(record, key).items():
        if tensor is None or (key == "_buffers" and name not in places):
            continue
        if name not in places:
            raise SpecError(f"{path}.{name}: in the file, but not in the rows of its yaml")
        check_tensor(tensor, places[name], f"{path}.{name}")
        found[name] = tensor
    return found


def check_tensor(tensor: object, like: torch.Tensor | None, place: str) -> None:
    """Raise SpecError that begins with `place` for what cannot stand where a layer has a tensor of other widths."""
    if not isinstance(tensor, torch.Tensor) or tensor.is_quantized or tensor.layout is not torch.strided:
        raise SpecError(f"{place}: {shown(tensor)} must be a plain tensor of numbers")
    if like is not None and tensor.ndim != like.ndim:
        raise SpecError(f"{place}: has {tensor.ndim} dimensions; must have {like.ndim}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise SpecError(f"{place}: claims {tensor.numel():,} values, which the file does not hold")


def keep_place(old: nn.Module, new: nn.Module) -> nn.Module:
    """Give `new` the attributes that mark a layer's place in the network, and return it."""
    for name in ("i", "f", "type", "np"):
        if name in vars(old):  # nn.Module has a method `type`
            setattr(new, name, getattr(old, name))
    return new


def adopt_widths(module: nn.Module) -> None:
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


def save_checkpoint(path: str | Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves either the old file or the new one: beside, flush, fsync, rename.

    Raises InputError when the folder cannot be written.
    """
    write_atomically(path, checkpoint_bytes(content))


def checkpoint_bytes(content: dict[str, Any]) -> bytes:
    """Return a checkpoint as the bytes of its file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def finished_content(model: DetectionModel, **entries: Any) -> dict[str, Any]:
    """Return the content of a finished checkpoint: FP16 weights without gradients, no optimizer, epoch −1."""
    model = deepcopy(model).half().cpu().to(memory_format=torch.contiguous_format)
    for module in model.modules():
        module.training = False
    model.model[-1].grid = [torch.empty(0) for _ in range(model.model[-1].nl)]
    model.model[-1].anchor_grid = [torch.empty(0) for _ in range(model.model[-1].nl)]
    model.requires_grad_(False)
    content = {"epoch": -1, "best_fitness": None, "model": model, "ema": None, "updates": None, "optimizer": None}
    return {**content, "opt": None, "git": None, "date": None, **entries}
