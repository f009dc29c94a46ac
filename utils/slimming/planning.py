"""The size of the next step: no more than its share, what the goal lacks and what the limits of a cut allow.

A share is one of the FLOPs, or, when the goal is a time, of the milliseconds that this machine's Rates give.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from utils.benchmark.latency import measure_latency, milliseconds
from utils.pruning.budget import cost_and_share
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.choice.costs import NetworkCost
from utils.pruning.choice.goal import Budget
from utils.pruning.choice.milliseconds import Rates, fit_rates
from utils.pruning.choice.search import bisect, file_megabytes
from utils.pruning.choice.selection import largest_share, select_by_cost
from utils.pruning.options import PruneOptions
from utils.pruning.pipeline import PruningTask, score
from utils.pruning.prune import read
from utils.slimming.options import CUTTING, SMALLEST_STEP, SlimOptions
from utils.slimming.rules import goal_limit, goal_name
from utils.slimming.state import Measurement, Step
from utils.sparsity.fading import Goal

SLACK = 1.1  # times the share of a step: so much it may remove when that reaches the goal
MARGIN = 0.001  # below the largest cut possible, because sparse training chooses with other scores


def cut_options(options: SlimOptions, file: Path, left: float) -> PruneOptions:
    """Return the PruneOptions of a cut of a checkpoint to a share of its FLOPs, as SlimOptions want it."""
    chosen = {name: getattr(options, name) for name in CUTTING}
    guard = None if options.sparse_epochs else options.std_guard  # sparse training has seen to it
    return PruneOptions(weights=str(file), flops=left, std_guard=guard, noval=True, **chosen)


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
    wanted = cut_options(options, file, 1 - share)
    wanted.std_guard = options.std_guard
    job = read(wanted)
    scores = score(job)
    rates, size = None, job.model.fitting_size(options.imgsz)
    if goal_name(options) == "latency_ms":
        rates = fit(job.graph, job.model, size, options.runtime, np.random.default_rng(options.seed))
    cost = rates.cost(job.graph, job.model) if rates else NetworkCost.flops(job.graph, job.model, size)
    ceiling = largest_share(scores, cost, job.limits)
    if options.sparse_epochs:  # which begins with every channel in use
        ceiling = min(
            ceiling, largest_share({name: values * 0 + 1 for name, values in scores.items()}, cost, options.limits)
        )
    ceiling -= MARGIN
    if ceiling < SMALLEST_STEP:
        return None
    masks = partial(select_by_cost, scores, cost, limits=job.limits)
    lacking = lacking_share(options, job, cost, masks, 1 - ceiling, start, latency)
    planned = min(lacking if lacking <= share * SLACK else share, ceiling)
    if cost.of(masks(1 - planned)) >= (1 - SMALLEST_STEP / 2) * cost.total:
        return None
    return planned, rates


def step_goal(options: SlimOptions, step: Step) -> Goal:
    """Return the Goal of a step's sparse training."""
    if step.rates is None:
        return Goal("FLOPs", 1 - step.share)
    return Goal("time", 1 - step.share, step.rates.image_size, options.runtime, step.rates)


def step_cut(step: Step, job: PruningTask, scores: Mapping) -> dict:
    """Return the masks {group: bool [width]} of a step's cut; job: that of prune.py for the network to cut."""
    if step.rates is None:
        cost, left = cost_and_share(job, Budget("flops", 1 - step.share), scores)
    else:
        cost = step.rates.cost(job.graph, job.model)
        whole = step.rates.cost(trace_channels(job.whole), job.whole).total  # with branches that are silent
        left = min((1 - step.share) * whole / cost.total, 1.0)
    return select_by_cost(scores, cost, left, job.limits)


def lacking_share(
    options: SlimOptions,
    job: PruningTask,
    cost: NetworkCost,
    masks: Callable[[float], dict],
    floor: float,
    start: Measurement,
    latency: Callable[..., dict],
) -> float:
    """Return which share of a cost has to go until the goal of the SlimOptions is met, about; 1.0 when it can't be.

    job, cost: as in planned_share; masks: callable(share left) → {group: bool [width]}; floor: least share left.
    """
    name = goal_name(options)
    if name is None:
        return 1.0
    if name == "flops":
        return 1 - options.flops * start.gflops * 1e9 / cost.total
    parameters = NetworkCost.parameters(job.graph, job.model)

    def measure(left):
        keep = masks(left)
        if name == "params":
            return parameters.of(keep) / start.parameters
        narrow = rebuild(job.model, job.graph, keep)
        if name == "size_mb":
            return file_megabytes(narrow)
        return milliseconds(narrow, job.model.fitting_size(options.imgsz), options.runtime, latency=latency)

    limit = goal_limit(options, name)
    if measure(floor) > limit:
        return 1.0
    return max(1 - bisect(lambda left: measure(left) <= limit, floor, 1.0), SMALLEST_STEP)
