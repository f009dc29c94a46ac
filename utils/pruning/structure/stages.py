"""What goes before any channel is looked at: classes, detection scales, whole branches."""

from collections.abc import Sequence

import torch

from models.cost import count_parameters
from models.yolo import DetectionModel
from utils.pruning.scores.calibration import Calibration
from utils.pruning.structure.branches import (
    branch_count,
    drop_branches,
    output_changes,
    residual_blocks,
    silent_branches,
    weakest,
)
from utils.pruning.structure.head import class_indices, drop_scales, keep_classes, scale_names, split_words

BRANCH_IMAGES = 16  # calibration images that tell what a branch contributes


def keep_some_classes(model: DetectionModel, words: Sequence[str]) -> tuple[DetectionModel, list[str]]:
    """Return (model, lines that say what went) with the classes of these names or numbers only. Raises InputError."""
    if not words:
        return model, []
    indices = class_indices(model.names, split_words(words))
    narrow = keep_classes(model, indices)
    return narrow, [
        f"classes kept: {', '.join(narrow.names.values())} ({len(indices)} of {model.nc}); mAP is that of these alone"
    ]


def drop_some_scales(model: DetectionModel, words: Sequence[str]) -> tuple[DetectionModel, list[str]]:
    """Return (model, lines that say what went) without the scales of these names. Raises InputError."""
    if not words:
        return model, []
    names = split_words(words)
    narrow, gone = drop_scales(model, names)
    layers = f"layers {', '.join(map(str, gone))}" if gone else "no layer: the other scales read them all"
    lost = count_parameters(model) - count_parameters(narrow)
    return narrow, [
        f"{', '.join(names).upper()} dropped, {', '.join(scale_names(narrow))} left; with it went {layers}; "
        f"{lost:,} parameters"
    ]


def drop_silent(model: DetectionModel) -> tuple[DetectionModel, list[str]]:
    """Return (model, lines that say what went) without the residual branches that are always zero."""
    names = silent_branches(model)
    return (drop_branches(model, names) if names else model), [
        f"{name}: its branch is silent; Identity takes its place" for name in names
    ]


def drop_weakest(
    model: DetectionModel, amount: str, calibration: Calibration, device: torch.device
) -> tuple[DetectionModel, list[str]]:
    """Return (model, lines that say what went) without the residual branches that change the outputs least.

    amount: number or share, as text; calibration: Calibration. Raises InputError.
    """
    blocks = list(residual_blocks(model))
    count = branch_count(amount, len(blocks))
    batches = [images for images, _ in calibration.first(BRANCH_IMAGES).batches(device)]
    scores = output_changes(model, blocks, batches) if count else {}
    names = weakest(scores, count)
    lines = [
        f"{name}: left out; without it the outputs change by {scores[name]:.2f} of their variance" for name in names
    ]
    return drop_branches(model, names), lines
