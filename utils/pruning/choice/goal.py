"""What a cut is to reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What a cut is held to."""

    measure: str  # a row of pruning.budget.MEASURES
    value: float  # percent: share of the channels that goes; flops, params: share that stays; the others: at most
    runtime: str = "torch"  # that latency_ms is measured in
