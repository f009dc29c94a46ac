"""Which network a run starts with: a checkpoint, a model yaml, or a checkpoint with a new Detect layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.yolo import Detect, DetectionModel
from utils.data.choice import KEPT_CLASSES, is_single_class, same_classes
from utils.errors import InputError
from utils.files.architecture import differences, say_differences, transfer_tensors
from utils.files.checkpoint import keep_place, load_checkpoint
from utils.files.downloads import find_weights
from utils.files.paths import find_file

COPYING = nn.SiLU, nn.Hardswish, nn.Mish


def starting_network(
    weights: str,
    cfg: str,
    names: dict[int, str],
    hyp_anchors: float | None = None,
    transfer: bool = True,
    keep_classes: bool = False,
    cfg_decides: bool = False,
    say: Callable[[str], None] = print,
) -> tuple[DetectionModel, bool]:
    """Return (DetectionModel to train on data with `names` (class index → name), whether it knows these classes).

    The network of the checkpoint itself is trained, pruned or not. One with another number of classes gets a new
    Detect layer when `transfer` allows it. With keep_classes a network that was cut to some of the classes keeps them.
    Without weights the network is built from cfg. With cfg_decides it is built from a cfg that differs from the
    checkpoint too, and gets the tensors that fit.

    Args:
        weights: path of a .pt, or "".
        cfg: path of a model yaml, or "".
        hyp_anchors: anchors per scale to estimate anew, for a network built from cfg.
        say: takes the lines to tell the user.
    """
    file = find_file(cfg, "models", "models/hub", what="model yaml") if cfg else None
    if not weights:
        if file is None:
            raise InputError("--weights and --cfg are both empty; give a .pt or a model yaml")
        model, known = DetectionModel(file, nc=len(names), anchors=hyp_anchors), False
    else:
        checkpoint = load_checkpoint(find_weights(weights), file)
        model = checkpoint.model
        known = same_classes(model.names, names)
        if file is not None and cfg_decides and not checkpoint.tensors_only:
            model, whole = followed(file, model, len(names), hyp_anchors, say), model
            known = known and model is whole
        elif file is not None:
            say_differences(model, file, say)
        if model.nc != len(names):
            some = KEPT_CLASSES in model.yaml and set(names.values()).issuperset(model.names.values())
            if keep_classes and (some or is_single_class(model.names)):
                return model, True
            if not transfer:
                raise InputError(f"{checkpoint.path}: has {model.nc} classes, the data {len(names)}; they must agree")
            replace_detect(model, len(names))
            total = len(model.state_dict())
            kept = total - 2 * model.model[-1].nl  # all but the weights and biases of Detect
            say(f"transferred {kept} of {total} tensors; Detect starts anew for {len(names)} classes")
    model.names = dict(names)
    return model, known


def followed(
    cfg: Path, model: DetectionModel, nc: int, anchors: float | None, say: Callable[[str], None]
) -> DetectionModel:
    """Return the network of a model yaml for nc classes with what fits of `model`; `model` itself if it is that one."""
    other = differences(model, cfg)
    if not other:
        return model
    new = DetectionModel(cfg, nc=nc, anchors=anchors)
    count, total = transfer_tensors(model, new)
    say(
        f"--cfg {cfg.name} differs from the checkpoint in {', '.join(other)}; "
        f"{cfg.name} is built, with {count} of its {total} tensors from the checkpoint"
    )
    return new


def replace_detect(model: DetectionModel, nc: int) -> None:
    """Give a model a new Detect layer for nc classes, with the old anchors and input widths; in place."""
    old = model.model[-1]
    anchors = (old.anchors * old.stride.view(-1, 1, 1)).flatten(1).tolist()
    new: Any = Detect(nc, anchors, [conv.in_channels for conv in old.m], old.inplace)
    new.stride = old.stride
    new.anchors = old.anchors.clone()
    new.initialize_biases()
    keep_place(old, new)
    new.np = sum(p.numel() for p in new.parameters())
    model.model[-1] = new.train(old.training)
    model.nc = model.yaml["nc"] = nc


def keep_inputs(model: nn.Module) -> None:
    """Let the activations whose gradient needs their input write elsewhere: in place, they would copy it first."""
    for module in model.modules():
        if isinstance(module, COPYING):
            module.inplace = False


def lay_out(model: Any, device: torch.device) -> Any:
    """Move a model to a device, on the CPU with channels last, which is faster there; return it."""
    layout = torch.channels_last if device.type == "cpu" else torch.preserve_format
    placed: Any = nn.Module.to  # whose types know no memory_format beside a device
    return placed(model, device, memory_format=layout)
