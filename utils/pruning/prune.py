"""What prune.py does, stage by stage: read a checkpoint, score, select, rebuild, report, write the narrower one."""

import math
import shlex
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch

from models.yolo import DetectionModel
from utils.benchmark.latency import measure_latency
from utils.cli.device import select_device
from utils.data.choice import match_classes
from utils.data.config import DataConfig, label_rules, load_data
from utils.data.splits import load_split, require_objects
from utils.errors import InputError, blaming
from utils.files.architecture import say_differences
from utils.files.checkpoint import load_checkpoint
from utils.files.downloads import find_weights
from utils.files.paths import check_output, find_file
from utils.pruning.budget import Accuracy, Scores, choose, cost_and_share
from utils.pruning.choice.costs import ChannelCost, NetworkCost
from utils.pruning.choice.goal import Budget
from utils.pruning.choice.selection import largest_share, rounded_down, select_by_cost
from utils.pruning.options import PruneOptions
from utils.pruning.pipeline import Cut, PruningTask, load_images, make_cut, prepare, score
from utils.pruning.recipe import Recipe
from utils.pruning.report.sensitivity import DEPTHS, explore
from utils.pruning.report.tables import channel_table, group_table
from utils.pruning.report.write import command_line, evaluate_stored, measure_cut, write_result
from utils.pruning.scores.parameters import gamma_scores
from utils.pruning.structure.head_use import suggest
from utils.pruning.structure.stages import drop_silent, drop_some_scales, drop_weakest, keep_some_classes
from utils.teaching.options import TAUGHT_BY
from utils.validation.measure import check_classes, whole_strides

MOST = 0.9  # of the mAP50-95: a cut without a budget that leaves less is not made unasked
IN_USE = 0.05  # mean |gamma| above which a channel is no longer close to silent


def prune_checkpoint(options: PruneOptions) -> Cut | None:
    """Prune as the PruneOptions say: print the report, write the narrower checkpoint; return the Cut.

    With --show and --suggest-head there is none. Raises InputError.
    """
    options.check()
    if options.suggest_head:
        print(suggest_head(options))
        return None
    out = check_output(options.out)
    if options == PruneOptions():
        usual = f"--weights {options.weights} {options.budget_flag[:-1]} --data {options.data} --out {out}"
        print(f"no flags are given: {usual}")
    task = read_task(options)
    print(*task.notes, sep="\n", end="\n" if task.notes else "")
    if options.show:
        print(group_table(task.graph, task.model, task.image_size))
        return None
    scores = score(task)
    print(ceiling_line(task, scores))

    evaluate = partial(
        evaluate_stored, task, split=options.task, batch_size=options.batch_size, workers=options.workers
    )

    def accuracy(model: DetectionModel) -> float:
        """Return the mAP50-95 of a network as it is stored."""
        return evaluate(model).map

    with blaming(options.budget_flag):
        keep = choose(task, options.budget, scores, accuracy)
    cut = make_cut(task, keep)
    if options.guards_accuracy:
        refuse_ruin(task, cut, scores, accuracy)
    print(channel_table(cut.graph, cut.before, cut.after))
    print(removal_lines(cut, task.recipe))
    found = explore(task, options.task, scores, deeper_cuts(task, scores)) if options.sensitivity else {}
    timed = not options.noval or options.latency_ms is not None
    settings = {**asked_for(options, task), **found}
    data, findings, worse = measure_cut(task, cut, None if options.noval else evaluate, timed, settings)
    if options.dry_run:
        print("dry run: nothing is written")
    else:
        write_result(out, data, findings, worse.picture)
        print(next_line(options, out, task.image_size))
    return cut


def asked_for(options: PruneOptions, task: PruningTask) -> dict[str, str]:
    """Return how a cut was asked for, as the report shows it."""
    images = f"the {options.task} images of {task.config.file}" if task.config and not options.noval else ""
    return {
        "weights": options.weights,
        "out": options.out,
        "data": options.data,
        "command": command_line("prune.py", options),
        "measured_on": images or "not measured",
    }


def refuse_ruin(task: PruningTask, cut: Cut, scores: Scores, accuracy: Accuracy) -> None:
    """Raise InputError when little of the mAP50-95 is left after a cut, and say how large a cut keeps most of it."""
    before, after = accuracy(task.reference), accuracy(cut.after)
    if after >= MOST * before:
        return
    little = f"half of the channels would leave {after:.3f} of mAP50-95 {before:.3f}"
    print(f"{little}; looking for a cut that keeps {MOST:.0%}", flush=True)
    _, left = cost_and_share(task, Budget("max_drop", (1 - MOST) * before), scores, accuracy)
    share = math.ceil(left * 100) / 100
    instead = f"--flops {share:g} keeps {MOST:.0%} of it" if share < 1 else f"no cut keeps {MOST:.0%} of it"
    raise InputError(
        f"{little}; {instead}. After train_sparsity.py --st --sr auto more can go. --yes cuts all the same"
    )


def next_line(options: PruneOptions, out: Path, image_size: int) -> str:
    """Return the command that goes on with the file that was written, to be pasted."""
    words = ["--weights", str(out), "--data", options.data, "--imgsz", str(image_size)]
    return f"next: python finetune_pruned.py {shlex.join(words)}"


def suggest_head(options: PruneOptions) -> str:
    """Return the table of --suggest-head: which detection scales the boxes of --data use. Raises InputError."""
    model = load_checkpoint(find_weights(options.weights)).network
    config = load_data(options.data, label_rules(options))
    split = "train" if config.train else options.task
    samples, _ = load_split(config, split, max(options.workers, 1))
    size = whole_strides(options.imgsz, model.size_multiple)
    return suggest(model, samples, size, f"{config.file} ({split})", None if options.noval else measure_latency)


def read_task(options: PruneOptions) -> PruningTask:
    """Return the PruningTask of PruneOptions: all that is read, and checked, before anything. Raises InputError."""
    device = select_device(options.device)
    whole = load(options)
    config = load_config(options, whole)
    image_size = whole_strides(options.imgsz, whole.size_multiple)
    task = shorten(options, whole, config, image_size, device)
    with blaming("--protect"):
        task.graph.protect(options.protect, "asked for by --protect")
    return task


def load(options: PruneOptions) -> DetectionModel:
    """Return the network of --weights; what is cut from it says so, to be taught by it. Raises InputError."""
    cfg = find_file(options.cfg, "models", "models/hub", what="model yaml") if options.cfg else None
    checkpoint = load_checkpoint(find_weights(options.weights), cfg)
    model = checkpoint.network
    if cfg:
        say_differences(model, cfg, print)
    model.yaml = {TAUGHT_BY: str(checkpoint.path.resolve()), **model.yaml}
    return model


def load_config(options: PruneOptions, model: DetectionModel) -> DataConfig | None:
    """Return the DataConfig of --data with the classes of a network, None when nothing needs any. Raises InputError."""
    if options.show or (options.noval and not options.needs_images):
        return None
    config = match_classes(load_data(options.data, label_rules(options)), model.names)  # those that an earlier cut left
    with blaming("give --data:") if options.data == PruneOptions.data else nullcontext():
        check_classes(model, config)
    if options.max_drop is not None:
        require_objects(config, options.task, "--max-drop")
    return config


def shorten(
    options: PruneOptions, whole: DetectionModel, config: DataConfig | None, image_size: int, device: torch.device
) -> PruningTask:
    """Return the PruningTask of a network without what --keep-classes, --drop-scale and --drop-branches name."""
    with blaming("--keep-classes"):
        reference, notes = keep_some_classes(whole, options.keep_classes)
    config = config and match_classes(config, reference.names, say=notes.append)
    with blaming("--drop-scale"):
        model, more = drop_some_scales(reference, options.drop_scale)
    notes, calibration = [*notes, *more], None
    if options.needs_images and config and not options.show:
        calibration = load_images(options.recipe, config, image_size)
        model.to(device)
    branched = None
    if options.drop_branches and calibration:
        branched, silent = drop_silent(model)
        with blaming("--drop-branches"):
            model, weakest = drop_weakest(branched, options.drop_branches, calibration, device)
        notes += [*silent, *weakest]
    networks = whole, reference
    return prepare(model, options.recipe, image_size, device, config, calibration, networks, notes, branched)


def deeper_cuts(task: PruningTask, scores: Scores) -> dict[str, DetectionModel]:
    """Return {share of the FLOPs left: network} of cuts of several depths, as far as the limits allow."""
    cost = NetworkCost.flops(task.graph, task.model, task.image_size)
    floor = 1 - largest_share(scores, cost, task.limits)
    masks = {
        f"{left:.0%}": select_by_cost(scores, cost, left, task.limits, task.recipe.scope)
        for left in DEPTHS
        if left >= floor
    }
    return {name: make_cut(task, keep).after for name, keep in masks.items()}


def ceiling_line(task: PruningTask, scores: Scores) -> str:
    """Return in words how far a cut could go."""
    costs = ChannelCost(task.graph.channel_counts()), NetworkCost.flops(task.graph, task.model)
    channels, flops = (rounded_down(largest_share(scores, cost, task.limits)) for cost in costs)
    return f"at most {channels} of the channels can go ({flops} of the FLOPs), with {task.limits}"


def removal_lines(cut: Cut, recipe: Recipe) -> str:
    """Return in words how many channels go, and what they were."""
    counts = cut.graph.channel_counts()
    removed = sum(int(counts[name][~mask].sum()) for name, mask in cut.keep.items())
    total = cut.graph.prunable_channels()
    gammas = gamma_scores(cut.before, cut.graph)
    means = [(gammas[name] / counts[name])[~mask] for name, mask in cut.keep.items() if name in gammas]
    largest = float(max((m.max() for m in means if len(m)), default=0.0))
    line = f"{removed} of {total} channels go ({removed / total:.1%})"
    if removed:
        line += f", the largest gamma among them is {largest:.4g}"
    if largest > IN_USE:
        line += (
            "\nchannels in use go too: expect a low mAP until fine-tuning. Less is lost after train_sparsity.py --st"
            + gentler_flags(recipe)
        )
    return line


def gentler_flags(recipe: Recipe) -> str:
    """Return the end of a sentence: the flags with which less would be lost, of those that are not used already."""
    usual = {"--criterion taylor": recipe.criterion != "taylor", "--power 0.5": recipe.power == 1}
    flags = [flag for flag, unused in {**usual, "--compensate lstsq": recipe.compensate != "lstsq"}.items() if unused]
    return f",\nor with {' '.join(flags)}" if flags else ""
