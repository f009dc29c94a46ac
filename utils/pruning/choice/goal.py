"""What a cut is to reach."""

from dataclasses import dataclass

BUDGETS = ("percent", "flops", "params", "size_mb", "latency_ms", "max_drop")  # rows of pruning.budget.MEASURES


@dataclass(frozen=True)
class Budget:
    """What a cut is held to."""

    measure: str  # one of BUDGETS
    value: float  # percent: share of the channels that goes; flops, params: share that stays; the others: at most
    runtime: str = "torch"  # that latency_ms is measured in
