"""The pace of a run that names no optimizer: few steps must each count for more, and there can be more of them.

SGD at the rates of the hyper-parameter files needs thousands of steps of 64 images. A few hundred photos give some
hundred. AdamW (Loshchilov & Hutter 2019) moves every weight by about its learning rate in each step, however small the
gradients; with steps of fewer images, and smaller batches where that is not enough, there are more of them. Where even
these are few, they are longer: rate times steps, how far a weight can move in a run, stays what it is with more.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from utils.training.optim import NOMINAL_BATCH, accumulation
from utils.training.plan import Plan

AUTO = "auto"  # --optimizer
MANY_STEPS = 10_000  # of NOMINAL_BATCH images: from here on it is SGD
ENOUGH_STEPS = 2_000  # a run of fewer takes its steps more often
SMALLEST_BATCH = 4  # images of a process: the statistics of batch norms need some
RATE = 0.001  # highest of AdamW in a run that is not SHORT
SHORT = 1_000  # steps: in a run of fewer the rate is higher
LONGEST = 2.0  # times RATE at most


@dataclass(frozen=True)
class Pace:
    """How a run takes its optimizer steps."""

    optimizer: str
    batch_size: int
    nominal_batch: int  # images of a step, if a batch has not more


def settle_pace(plan: Plan, images: int) -> Plan:
    """Return the plan with a definite optimizer, batch size and nominal batch, for all processes and a resumed run.

    images: for training.
    """
    options, seen = plan.options, images * plan.options.epochs
    named = "SGD" if options.optimizer == AUTO else options.optimizer
    pace = Pace(named, options.batch_size, options.nominal_batch or NOMINAL_BATCH)
    if options.optimizer == AUTO and not options.classic:
        pace = fitting_pace(seen, options.batch_size, plan.processes.world_size, options.nominal_batch)
    settled = replace(plan, options=replace(options, **asdict(pace)))
    if options.optimizer != AUTO or pace.optimizer == "SGD":
        return settled
    size = accumulation(pace.batch_size, pace.nominal_batch) * pace.batch_size
    hyp = adamw_rates(plan.hyp, seen // size)
    smaller = f", in batches of {pace.batch_size} instead of {options.batch_size}"
    plan.say(
        f"steps: about {seen // size:,} of {size} images by AdamW{smaller * (pace.batch_size < options.batch_size)}, "
        f"because {seen // NOMINAL_BATCH:,} of {NOMINAL_BATCH} are few for SGD"
    )
    return replace(settled, hyp=hyp)


def fitting_pace(seen: int, batch_size: int, processes: int = 1, nominal_batch: int | None = None) -> Pace:
    """Return the pace of a run that names no optimizer.

    Args:
        seen: images of the whole run.
        batch_size: at most, all processes together.
        processes: that share a batch.
        nominal_batch: that was asked for; then the batches stay.
    """
    if seen >= MANY_STEPS * accumulation(batch_size) * batch_size:
        return Pace("SGD", batch_size, nominal_batch or NOMINAL_BATCH)
    if nominal_batch:
        return Pace("AdamW", batch_size, nominal_batch)
    fitting = max(seen // ENOUGH_STEPS, SMALLEST_BATCH * processes)
    batch = min(fitting - fitting % processes, batch_size)
    gathered = max(seen // (ENOUGH_STEPS * batch), 1)
    return Pace("AdamW", batch, NOMINAL_BATCH if gathered >= accumulation(batch) else gathered * batch)


def adamw_rates(hyp: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return hyper-parameters with learning rates that suit AdamW in a run of so many steps: lower ones stay.

    The rate of the biases in the warm-up is as low: AdamW moves each by that much a step.
    """
    longer = min(max(SHORT / max(steps, 1), 1.0), LONGEST)
    rate = min(hyp["lr0"], round(RATE * longer, 5))
    return hyp | {"lr0": rate, "warmup_bias_lr": min(hyp["warmup_bias_lr"], rate)}
