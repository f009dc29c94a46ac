"""Less to predict: a detector without some of its scales, or with a choice of its classes.

What stays predicts what it did before, and the result is a plain YOLOv5 checkpoint: the rows in its yaml, the layers'
indices and sources, and Detect's attributes tell the same network.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from models.yolo import DetectionModel, with_coarsest
from utils.data.choice import KEPT_CLASSES
from utils.errors import InputError
from utils.pruning.channels.narrowing import keep_outputs

BOX_OUTPUTS = 5  # x, y, w, h, objectness; then one for each class
PARTS = ("backbone", "head")
IMAGE = -1  # index that stands for the image among the layers
SHOWN = 8  # class names in a message


def split_words(words: Any) -> list[str]:
    """Return the words of a flag, each split at commas: ["P3,P4", "P5"] → ["P3", "P4", "P5"]."""
    return [part.strip() for word in words for part in str(word).split(",") if part.strip()]


def scale_names(model: DetectionModel) -> list[str]:
    """Return what the scales of a DetectionModel are called, in the order of Detect: P3 has stride 2³ = 8."""
    return [f"P{round(math.log2(stride))}" for stride in model.model[-1].stride.tolist()]


def drop_scales(model: DetectionModel, dropped: Sequence[str]) -> Any:
    """Return (copy of a DetectionModel without some detection scales, indices of the layers that went with them).

    Layers that nothing else reads any more go, and those behind them move up.

    Args:
        dropped: names such as ["P3"]; see scale_names.

    Raises InputError for a scale that the model does not have and when none would be left.
    """
    known = scale_names(model)
    wanted = [name.upper() for name in dropped]
    for name in wanted:
        if name not in known:
            raise InputError(f"{name}: the model has the scales {', '.join(known)}")
    kept = [i for i, name in enumerate(known) if name not in wanted]
    if not kept:
        raise InputError(f"{' '.join(wanted)}: at least one of {', '.join(known)} must stay")
    model = deepcopy(model)
    narrow_detect(model.model[-1], kept)
    if isinstance(model.yaml["anchors"], list):
        pixels = model.model[-1].anchors * model.model[-1].stride.view(-1, 1, 1)
        model.yaml["anchors"] = [[round(value, 2) for value in row] for row in pixels.flatten(1).tolist()]
    gone = drop_unread_layers(model)
    _, coarsest = model.measure_strides(model.yaml.get("ch", 3))
    model.stride = with_coarsest(model.model[-1].stride, coarsest)
    return model, gone


def narrow_detect(detect: Any, kept: Sequence[int]) -> None:
    """Keep the scales with the given indices of a Detect, in place."""
    detect.f = [sources_of(detect)[i] for i in kept]
    detect.m = nn.ModuleList(detect.m[i] for i in kept)
    detect.anchors, detect.stride = detect.anchors[kept].clone(), detect.stride[kept].clone()
    detect.nl = len(kept)
    detect.np = sum(p.numel() for p in detect.parameters())
    detect.grid, detect.anchor_grid = ([torch.empty(0) for _ in kept] for _ in range(2))


def sources_of(layer: Any) -> list[int]:
    """Return the indices of the layers that a layer reads; −1 is the image."""
    return [layer.i + source if source < 0 else source for source in as_list(layer.f)]


def as_list(sources: Any) -> list[int]:
    """Return a layer's `f`, which is an index or a list of indices, as a list."""
    return sources if isinstance(sources, list) else [sources]


def drop_unread_layers(model: DetectionModel) -> Any:
    """Remove the layers that do not lead to Detect from a DetectionModel, in place; return their old indices."""
    layers = list(model.model)
    needed = {len(layers) - 1}
    for layer in reversed(layers):
        if layer.i in needed:
            needed.update(sources_of(layer))
    staying = sorted(needed - {IMAGE})
    number = {IMAGE: IMAGE} | {old: new for new, old in enumerate(staying)}
    rows = [(part, row) for part in PARTS for row in model.yaml[part]]
    kept: dict[str, list] = {part: [] for part in PARTS}
    for layer in (layers[old] for old in staying):
        part, (_, *rest) = rows[layer.i]
        sources = [given if given == -1 else number[old] for given, old in zip(as_list(layer.f), sources_of(layer))]
        layer.f = sources if isinstance(layer.f, list) else sources[0]
        layer.i = number[layer.i]
        kept[part].append([deepcopy(layer.f), *rest])
    model.model = nn.Sequential(*(layers[old] for old in staying))
    model.save = sorted({source for layer in model.model for source in as_list(layer.f) if source != -1})
    model.yaml = {**model.yaml, **kept}
    return [i for i in range(len(layers)) if i not in needed]


def class_indices(names: dict[int, str], wanted: Sequence[str]) -> list[int]:
    """Return the indices of classes given by name or index, in the given order.

    Args:
        names: class index → name.
        wanted: words such as ["person", "2"]; a class that is called 2 comes before class number 2.

    Raises InputError for an unknown class and one that is named twice.
    """
    number = {name: index for index, name in names.items()}
    found = []
    for word in wanted:
        index = number.get(word, int(word) if word.isdigit() else None)
        if index not in names:
            shown = [*names.values()][:SHOWN]
            more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
            raise InputError(f"{word}: no such class; the model has 0 to {len(names) - 1}: {', '.join(shown)}{more}")
        if index in found:
            raise InputError(f"{word}: the class is named twice")
        found.append(index)
    if not found:
        raise InputError("names no class; at least one must stay")
    return found


def keep_classes(model: DetectionModel, indices: Sequence[int]) -> Any:
    """Return a copy of a DetectionModel that predicts only the classes with these indices, numbered in this order.

    Its yaml says so (KEPT_CLASSES): fine-tuning on the data of all classes then leaves the other labels out.
    """
    model = deepcopy(model)
    detect = model.model[-1]
    outputs = torch.tensor([*range(BOX_OUTPUTS), *(BOX_OUTPUTS + index for index in indices)])
    rows = (torch.arange(detect.na)[:, None] * detect.no + outputs).flatten()  # [na · (5 + kept)]
    for conv in detect.m:
        keep_outputs(conv, rows)
    detect.nc, detect.no = len(indices), BOX_OUTPUTS + len(indices)
    detect.np = sum(p.numel() for p in detect.parameters())
    model.nc = len(indices)
    model.names = {new: model.names[old] for new, old in enumerate(indices)}
    model.yaml = {**model.yaml, "nc": model.nc, KEPT_CLASSES: [*model.names.values()]}
    return model
