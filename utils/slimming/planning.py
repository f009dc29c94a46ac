"""The size of the next step: no more than its share, what the goal lacks and what the limits of a cut allow.

A share is one of the FLOPs, or, when the goal is a time, of the milliseconds that this machine's Rates give.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from utils.benchmark.latency import measure_latency, milliseconds
from utils.cli.device import select_device
from utils.data.choice import match_classes
from utils.data.config import label_rules, load_data
from utils.data.splits import load_split
from utils.files.checkpoint import load_checkpoint
from utils.pruning.budget import cost_and_share
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.choice.costs import NetworkCost
from utils.pruning.choice.goal import Budget
from utils.pruning.choice.milliseconds import Rates, fit_rates
from utils.pruning.choice.search import bisect, file_megabytes
from utils.pruning.choice.selection import largest_share, select_by_cost
from utils.pruning.pipeline import PruningTask, prepare, score
from utils.pruning.recipe import Recipe
from utils.slimming.evaluator import CheckpointEvaluator
from utils.slimming.options import SMALLEST_STEP, SlimOptions
from utils.slimming.rules import goal_limit, goal_name
from utils.slimming.state import Measurement, Step
from utils.sparsity.expectation import outlook
from utils.sparsity.fading import CHOOSE_UNTIL, FADE_UNTIL
from utils.sparsity.goal import Goal
from utils.training.optim import NOMINAL_BATCH, Schedule
from utils.training.pace import AUTO, Pace, fitting_pace
from utils.training.train import CPU_BATCH
from utils.validation.measure import check_classes

SLACK = 1.1  # times the share of a step: so much it may remove when that reaches the goal
MARGIN = 0.001  # below the largest cut possible, because sparse training chooses with other scores


def chosen_recipe(options: SlimOptions, guarded: bool = True) -> Recipe:
    """Return the Recipe of SlimOptions.

    guarded: whether --std-guard holds; sparse training sees to it in its own way, so the cut after it does not.
    """
    return Recipe(
        criterion=options.criterion,
        limits=replace(options.limits, std_guard=options.std_guard if guarded else None),
        compensate=options.compensate,
        calib=options.calib,
        seed=options.seed,
    )


def pruning_task(options: SlimOptions, file: Path, recipe: Recipe) -> PruningTask:
    """Return the PruningTask of a checkpoint, cut as a Recipe says, on the data and device of SlimOptions."""
    model, config = load_checkpoint(file).network, None
    if recipe.needs_images:
        config = match_classes(load_data(options.data, label_rules(options)), model.names)
        check_classes(model, config)
    return prepare(model, recipe, model.fitting_size(options.imgsz), select_device(options.device), config)


def planned_share(
    options: SlimOptions,
    file: Path,
    share: float,
    start: Measurement,
    latency: Callable[..., dict] = measure_latency,
    fit: Callable[..., Rates] = fit_rates,
) -> tuple[float, Rates | None] | None:
    """Return (share that the next step is to remove from a checkpoint, at most about `share`; Rates or None).

    Rates are needed for a goal in time. latency, fit: how networks are timed, and Rates found. Returns None when the
    limits of the cut allow next to nothing.
    """
    task = pruning_task(options, file, chosen_recipe(options))
    scores, rates, size = score(task), None, task.image_size
    if goal_name(options) == "latency_ms":
        rates = fit(task.graph, task.model, size, options.runtime, np.random.default_rng(options.seed))
    cost = rates.cost(task.graph, task.model) if rates else NetworkCost.flops(task.graph, task.model, size)
    ceiling = largest_share(scores, cost, task.limits)
    if options.sparse_epochs:  # which begins with every channel in use
        ceiling = min(
            ceiling, largest_share({name: values * 0 + 1 for name, values in scores.items()}, cost, options.limits)
        )
    ceiling -= MARGIN
    if ceiling < SMALLEST_STEP:
        return None
    masks = partial(select_by_cost, scores, cost, limits=task.limits)
    lacking = lacking_share(options, task, cost, masks, 1 - ceiling, start, latency)
    planned = min(lacking if lacking <= share * SLACK else share, ceiling)
    if cost.of(masks(1 - planned)) >= (1 - SMALLEST_STEP / 2) * cost.total:
        return None
    return planned, rates


def prospects(options: SlimOptions, evaluator: CheckpointEvaluator) -> list[str]:
    """Return lines on what is to be expected of a step's sparse training, of its fine-tuning where there is none.

    Raises InputError when the training photos cannot be read.
    """
    samples, _ = load_split(evaluator.config, "train", max(options.workers, 1), progress=False)
    batch = options.batch_size if options.batch_size > 0 else CPU_BATCH
    epochs = options.sparse_epochs or options.finetune_epochs
    pace = Pace(options.optimizer, batch, NOMINAL_BATCH)
    if options.optimizer == AUTO:
        pace = fitting_pace(len(samples) * epochs, batch)
    batches = -(-len(samples) // pace.batch_size)
    steps = Schedule.of(evaluator.hyp, epochs, batches, pace.batch_size, pace.nominal_batch).total_steps()
    left = max(1 - options.share, options.flops or 0.0)
    fade = round((FADE_UNTIL - CHOOSE_UNTIL) * steps) if options.sparse_epochs else None
    return outlook(samples, steps, left, fade)


def step_goal(options: SlimOptions, step: Step) -> Goal:
    """Return the Goal of a step's sparse training."""
    if step.rates is None:
        return Goal("FLOPs", 1 - step.share)
    return Goal("time", 1 - step.share, step.rates.image_size, options.runtime, step.rates)


def step_cut(step: Step, task: PruningTask, scores: Mapping) -> dict:
    """Return the masks {group: bool [width]} of a step's cut; task: of the network to cut."""
    if step.rates is None:
        cost, left = cost_and_share(task, Budget("flops", 1 - step.share), scores)
    else:
        cost = step.rates.cost(task.graph, task.model)
        whole = step.rates.cost(trace_channels(task.whole), task.whole).total  # with branches that are silent
        left = min((1 - step.share) * whole / cost.total, 1.0)
    return select_by_cost(scores, cost, left, task.limits)


def lacking_share(
    options: SlimOptions,
    task: PruningTask,
    cost: NetworkCost,
    masks: Callable[[float], dict],
    floor: float,
    start: Measurement,
    latency: Callable[..., dict],
) -> float:
    """Return which share of a cost has to go until the goal of the SlimOptions is met, about; 1.0 when it can't be.

    task, cost: as in planned_share; masks: callable(share left) → {group: bool [width]}; floor: least share left.
    """
    name = goal_name(options)
    if name is None:
        return 1.0
    if name == "flops":
        return 1 - options.flops * start.gflops * 1e9 / cost.total
    parameters = NetworkCost.parameters(task.graph, task.model)

    def measure(left):
        """Return the measure of the network that is left."""
        keep = masks(left)
        if name == "params":
            return parameters.of(keep) / start.parameters
        narrow = rebuild(task.model, task.graph, keep)
        if name == "size_mb":
            return file_megabytes(narrow)
        return milliseconds(narrow, task.model.fitting_size(options.imgsz), options.runtime, latency=latency)

    limit = goal_limit(options, name)
    if measure(floor) > limit:
        return 1.0
    return max(1 - bisect(lambda left: measure(left) <= limit, floor, 1.0), SMALLEST_STEP)
