"""What goes before any channel is looked at: classes, detection scales, whole branches."""

from models.cost import count_parameters
from utils.data.config import label_rules, load_data
from utils.data.splits import load_split
from utils.files.checkpoint import load_checkpoint
from utils.files.downloads import find_weights
from utils.pruning.structure.branches import (
    branch_count,
    drop_branches,
    output_changes,
    residual_blocks,
    silent_branches,
    weakest,
)
from utils.pruning.structure.head import class_indices, drop_scales, keep_classes, scale_names, split_words
from utils.pruning.structure.head_use import suggest

BRANCH_IMAGES = 16  # calibration images that tell what a branch contributes


def suggest_head(options):
    """Return the table of --suggest-head: which detection scales the boxes of --data use. Raises InputError."""
    checkpoint = load_checkpoint(find_weights(options.weights))
    config = load_data(options.data, label_rules(options))
    split = "train" if config.train else options.task
    samples, _ = load_split(config, split, max(options.workers, 1))
    return suggest(checkpoint.ema or checkpoint.model, samples, options.imgsz, f"{config.file} ({split})")


def keep_some_classes(model, options):
    """Return (model, lines that say what went) with the classes of --keep-classes only. Raises InputError."""
    if not options.keep_classes:
        return model, []
    indices = class_indices(model.names, split_words(options.keep_classes))
    narrow = keep_classes(model, indices)
    return narrow, [
        f"classes kept: {', '.join(narrow.names.values())} ({len(indices)} of {model.nc}); mAP is that of these alone"
    ]


def drop_some_scales(model, options):
    """Return (model, lines that say what went) without the scales of --drop-scale. Raises InputError."""
    if not options.drop_scale:
        return model, []
    names = split_words(options.drop_scale)
    narrow, gone = drop_scales(model, names)
    layers = f"layers {', '.join(map(str, gone))}" if gone else "no layer: the other scales read them all"
    lost = count_parameters(model) - count_parameters(narrow)
    return narrow, [
        f"{', '.join(names).upper()} dropped, {', '.join(scale_names(narrow))} left; with it went {layers}; "
        f"{lost:,} parameters"
    ]


def drop_silent(model):
    """Return (model, lines that say what went) without the residual branches that are always zero."""
    names = silent_branches(model)
    return (drop_branches(model, names) if names else model), [
        f"{name}: its branch is silent; Identity takes its place" for name in names
    ]


def drop_weakest(model, amount, calibration, device):
    """Return (model, lines that say what went) without the residual branches that --drop-branches means.

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
