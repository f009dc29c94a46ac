"""Whole residual branches: which could be left out, what each contributes, and the network without them.

A block that adds a branch to its input, such as a bottleneck with a shortcut, still does something sensible when the
branch is gone: it hands its input on. Then nn.Identity takes its place, which the public repository runs as well.
"""

import operator
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import fx, nn

from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.checkpoint import keep_place
from utils.progress import track
from utils.pruning.channels.tracing import is_activation, keeps_zero

ADDITIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}


def residual_blocks(model: DetectionModel) -> dict[str, Any]:
    """Return {name: traced branch's last node} of the modules that return their input plus a branch."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, (DetectionModel, nn.Sequential, nn.ModuleList)) or type(module).__module__.startswith(
            "torch."
        ):
            continue
        branch = added_branch(module)
        if branch is not None:
            found[name] = branch
    return found


def added_branch(module: Any) -> Any:
    """Return the traced node that a module adds to its only input and returns, or None when it does something else."""
    try:
        graph = fx.Tracer().trace(module)
    except (fx.proxy.TraceError, TypeError, ValueError):  # its code depends on values
        return None
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    if len(inputs) != 1 or not isinstance(result, fx.Node) or result.target not in ADDITIONS or len(result.args) != 2:
        return None
    sides = [skip_identities(node, module) for node in result.args]
    branches = [node for node in sides if node is not inputs[0]]
    return branches[0] if len(branches) == 1 else None


def skip_identities(node: Any, module: Any) -> Any:
    """Return the node behind any nn.Identity."""
    while (
        isinstance(node, fx.Node)
        and node.op == "call_module"
        and isinstance(module.get_submodule(node.target), nn.Identity)
    ):
        node = node.args[0]
    return node


def silent_branches(model: DetectionModel) -> list[str]:
    """Return the names of the residual blocks whose branch is always zero, so that removing it changes nothing."""
    if not any(isinstance(module, nn.BatchNorm2d) and is_zero(module) for module in model.modules()):
        return []  # as in nearly all networks: the tracing is spared
    return [name for name, node in residual_blocks(model).items() if is_silent(node, model.get_submodule(name))]


def is_zero(norm: Any) -> bool:
    """Tell whether a batch norm gives zero whatever its input."""
    return not (norm.weight.any() or norm.bias.any())


def is_silent(node: Any, block: Any) -> bool:
    """Tell whether a node of a traced block is always zero: behind a batch norm with gamma and beta at zero."""
    if node.op == "call_function" and node.target is torch.cat:
        return all(is_silent(part, block) for part in node.args[0])
    if node.op != "call_module":
        return False
    module = block.get_submodule(node.target)
    if isinstance(module, nn.BatchNorm2d):
        return is_zero(module)
    passes = isinstance(module, (nn.Identity, nn.Dropout, nn.Dropout2d)) or (
        is_activation(module) and keeps_zero(module)
    )
    return passes and is_silent(node.args[0], block)


def drop_branches(model: DetectionModel, names: Iterable[str]) -> DetectionModel:
    """Return a copy of a model in which nn.Identity stands in place of the residual blocks with these names."""
    model = deepcopy(model)
    for name in names:
        parent, _, place = name.rpartition(".")
        setattr(model.get_submodule(parent), place, keep_place(model.get_submodule(name), nn.Identity()))
    for layer in getattr(model, "model", ()):
        layer.np = sum(p.numel() for p in layer.parameters())
    return model


def branch_count(amount: Any, total: int) -> int:
    """Return how many of `total` residual blocks an amount means: "2" two, "0.25" a quarter, rounded.

    Raises InputError for what is no number, and when there are not so many.
    """
    try:
        value = float(amount)
    except ValueError:
        value = -1.0
    whole = value.is_integer() and "." not in amount
    if not (value >= 0 and (whole or value < 1)):
        raise InputError(f"{amount}: must be a whole number of blocks, or a share of them below 1")
    count = int(value) if whole else round(value * total)
    if count > total:
        raise InputError(f"{amount}: the model has only {total} blocks with a shortcut")
    return count


def weakest(scores: dict[str, float], count: int) -> list[str]:
    """Return the `count` names with the smallest scores of {name: score}, weakest first."""
    return sorted(scores, key=lambda name: scores[name])[:count]


@torch.no_grad()
def output_changes(model: DetectionModel, names: Iterable[str], batches: Any) -> dict[str, float]:
    """Return {block: how much the raw outputs of a DetectionModel change without it, see relative_change}.

    One block is left out at a time, as Veit et al. 2016 did with residual networks. Logits are compared, so no labels
    are needed.

    Args:
        names: residual blocks, see residual_blocks.
        batches: list of images [B, 3, H, W] in 0–1, on the model's device.
    """
    model = deepcopy(model).eval()
    expected = [model(images)[1] for images in batches]
    scores = {}
    for name in track(names, "scoring blocks", unit="blocks"):
        block = model.get_submodule(name)
        handle = block.register_forward_hook(lambda module, args, output: args[0])
        changes = [
            relative_change(e, g) for images, maps in zip(batches, expected) for e, g in zip(maps, model(images)[1])
        ]
        handle.remove()
        scores[name] = sum(changes) / len(changes)
    return scores


def relative_change(expected: Any, got: Any) -> float:
    """Return the mean squared difference of two maps [B, na, ny, nx, no] over the variance of the first, by output."""
    difference = (got - expected).pow(2).mean((0, 2, 3))
    return float((difference / expected.var((0, 2, 3)).clamp(min=1e-9)).mean())


def channels_of(model: Any, name: str) -> Any:
    """Return the output channels of the convolution with this name; 0 where Identity took the place of its block."""
    try:
        return model.get_submodule(name).out_channels
    except AttributeError:
        return 0
