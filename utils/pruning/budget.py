"""From a Budget to the share of a cost that stays: each measure has its row in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.benchmark.latency import milliseconds
from utils.progress import Progress
from utils.pruning.channels.masks import Masks
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.choice.costs import ChannelCost, NetworkCost
from utils.pruning.choice.goal import Budget
from utils.pruning.choice.milliseconds import fit_rates
from utils.pruning.choice.search import attempts, confirmed, file_megabytes, largest_fitting, smallest_within
from utils.pruning.choice.selection import largest_share, select_by_cost
from utils.pruning.pipeline import PruningTask, make_cut

MISSED = 0.02  # of what shall stay: a cut that misses its budget by more says so

Scores = Mapping[str, np.ndarray]
Accuracy = Callable[[DetectionModel], float]  # mAP50-95 of a network as it is stored


@dataclass(frozen=True)
class BudgetSearch:
    """What the rows of MEASURES work with."""

    task: PruningTask
    budget: Budget
    scores: Scores
    accuracy: Any  # Accuracy, for max_drop; or None

    @cached_property
    def cost(self) -> ChannelCost | NetworkCost:
        """The cost that a share of is to stay."""
        return MEASURES[self.budget.measure][0](self)

    @property
    def floor(self) -> float:
        """The smallest share that the limits allow to stay."""
        return 1 - largest_share(self.scores, self.cost, self.task.limits)

    def masks(self, left: float) -> Masks:
        """Return the masks that leave a share of the cost."""
        return select_by_cost(self.scores, self.cost, left, self.task.limits, self.task.recipe.scope)

    def narrow(self, left: float) -> DetectionModel:
        """Return the rebuilt network of a share, without repair."""
        return rebuild(self.task.model, self.task.graph, self.masks(left))

    def of_whole(self, count: Callable[[DetectionModel], float]) -> float:
        """Return the share left of this network when the budget's share of the network as it was read is."""
        return min(self.budget.value * count(self.task.whole) / count(self.task.model), 1.0)

    @contextmanager
    def watched(self, measure: Callable[[DetectionModel], float]) -> Iterator[Callable[[DetectionModel], float]]:
        """Give `measure` (network → number) with its progress shown: a network of the search each."""
        flag = f"--{self.budget.measure.replace('_', '-')}"
        with Progress(f"search for {flag}", attempts(self.floor), "networks") as progress:

            def watched(network: DetectionModel) -> float:
                """Measure, and count it."""
                value = measure(network)
                progress.update()
                return value

            yield watched


def channels(search: BudgetSearch) -> ChannelCost:
    """Return the cost that counts channels."""
    return ChannelCost(search.task.graph.channel_counts())


def parameters(search: BudgetSearch) -> NetworkCost:
    """Return the cost that counts parameters."""
    return NetworkCost.parameters(search.task.graph, search.task.model)


def flops(search: BudgetSearch) -> NetworkCost:
    """Return the cost that counts FLOPs."""
    return NetworkCost.flops(search.task.graph, search.task.model, search.task.image_size)


def time(search: BudgetSearch) -> NetworkCost:
    """Return the cost in milliseconds of this machine."""
    task, runtime = search.task, search.budget.runtime
    print(f"measuring in {runtime} what widths cost in time", flush=True)
    rng = np.random.default_rng(task.recipe.seed)
    return fit_rates(task.graph, task.model, task.image_size, runtime, rng).cost(task.graph, task.model)


def left_for_size(search: BudgetSearch) -> float:
    """Return the largest share whose file is not above the budget. Raises InputError when there is none."""
    with search.watched(file_megabytes) as megabytes:
        return largest_fitting(lambda left: megabytes(search.narrow(left)), search.budget.value, search.floor, "MB")


def left_for_time(search: BudgetSearch) -> float:
    """Return the largest share that is fast enough, measured twice. Raises InputError when there is none."""
    task, limit, runtime = search.task, search.budget.value, search.budget.runtime
    times = partial(milliseconds, image_size=task.image_size, runtime=runtime)
    with search.watched(times) as watched:
        left = largest_fitting(lambda left: watched(search.narrow(left)), limit, search.floor, "ms")
        left, found = confirmed(lambda left: watched(search.narrow(left)), limit, left, search.floor)
    work = flops(search)
    print(
        f"{found:.1f} ms an image in {runtime} at {work.of(search.masks(left)) / work.total:.1%} of the FLOPs, "
        f"{times(task.model):.1f} ms before; asked for {limit:g}"
    )
    return left


def left_for_accuracy(search: BudgetSearch) -> float:
    """Return the smallest share that loses no more mAP50-95 than the budget allows."""
    task = search.task
    with search.watched(search.accuracy) as accuracy:
        whole = accuracy(task.reference)
        return smallest_within(
            lambda left: whole - accuracy(make_cut(task, search.masks(left)).after), search.budget.value, search.floor
        )


# Measure of a budget → (the cost that a share of is to stay, which share that is).
MEASURES: dict[str, tuple[Callable, Callable]] = {
    "percent": (channels, lambda search: 1 - search.budget.value),
    "flops": (flops, lambda search: search.of_whole(count_gflops)),
    "params": (parameters, lambda search: search.of_whole(count_parameters)),
    "size_mb": (parameters, left_for_size),
    "latency_ms": (time, left_for_time),
    "max_drop": (flops, left_for_accuracy),
}


def cost_and_share(
    task: PruningTask, budget: Budget, scores: Scores, accuracy: Any = None
) -> tuple[ChannelCost | NetworkCost, float]:
    """Return (cost, share of it that stays) of a Budget.

    accuracy: callable network → mAP50-95, for max_drop. Raises InputError when the budget cannot be met.
    """
    search = BudgetSearch(task, budget, scores, accuracy)
    return search.cost, MEASURES[budget.measure][1](search)


def choose(task: PruningTask, budget: Budget, scores: Scores, accuracy: Any = None) -> Masks:
    """Return the Masks that meet a Budget; says what a search found, and by how much it misses. Arguments as above."""
    cost, left = cost_and_share(task, budget, scores, accuracy)
    keep = select_by_cost(scores, cost, left, task.limits, task.recipe.scope)
    got = cost.of(keep) / cost.total
    if abs(got / left - 1) > MISSED:
        print(
            f"{got:.1%} of the {cost.name} stay instead of {left:.1%}: "
            f"as near as steps of {task.limits.multiple} channels come"
        )
    return keep
