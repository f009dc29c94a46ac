"""The optimizer of a run that names none, and how many images a step gathers: few steps must each count for more.

SGD at the rates of the hyper-parameter files needs thousands of steps of 64 images. A few hundred photos give some
hundred. AdamW (Loshchilov & Hutter 2019) moves every weight by about its learning rate in each step, however small the
gradients; with steps of fewer images there are more of them.
"""

from dataclasses import replace
from typing import Any

from utils.training.optim import NOMINAL_BATCH, accumulation
from utils.training.plan import Plan

AUTO = "auto"  # --optimizer
MANY_STEPS = 10_000  # of NOMINAL_BATCH images: from here on it is SGD
ENOUGH_STEPS = 2_000  # a run of fewer takes its steps more often, after each batch at most
RATE = 0.001  # highest of AdamW


def settle_optimizer(plan: Plan, batches: int) -> Plan:
    """Return the plan with a definite optimizer and nominal batch, for all processes and for a resumed run.

    batches: in an epoch.
    """
    options = plan.options
    total = batches * options.epochs
    optimizer, nominal = "SGD", NOMINAL_BATCH
    if options.optimizer != AUTO:
        optimizer = options.optimizer
    elif not options.classic:
        optimizer, nominal = chosen(total, options.batch_size)
    nominal = options.nominal_batch or nominal
    settled = replace(options, optimizer=optimizer, nominal_batch=nominal)
    if options.optimizer != AUTO or optimizer == "SGD":
        return replace(plan, options=settled)
    hyp, size = adamw_rates(plan.hyp), max(nominal, options.batch_size)
    plan.say(
        f"optimizer: AdamW at {hyp['lr0']:g}, about {total * options.batch_size // size:,} steps of {size} images, "
        f"because {total // accumulation(options.batch_size):,} of {NOMINAL_BATCH} are few for SGD"
    )
    return replace(plan, options=settled, hyp=hyp)


def chosen(batches: int, batch_size: int) -> tuple[str, int]:
    """Return (optimizer, nominal batch) of a run that names none; batches: of the whole run."""
    if batches / accumulation(batch_size) >= MANY_STEPS:
        return "SGD", NOMINAL_BATCH
    return "AdamW", nominal_batch(batches, batch_size)


def nominal_batch(batches: int, batch_size: int) -> int:
    """Return of how many images the steps of a whole run should be, so that there are ENOUGH_STEPS if possible."""
    gathered = max(batches // ENOUGH_STEPS, 1)
    return NOMINAL_BATCH if gathered >= accumulation(batch_size) else gathered * batch_size


def adamw_rates(hyp: dict[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters with learning rates that suit AdamW: lower ones stay.

    The rate of the biases in the warm-up is as low: AdamW moves each by that much a step.
    """
    rate = min(hyp["lr0"], RATE)
    return hyp | {"lr0": rate, "warmup_bias_lr": min(hyp["warmup_bias_lr"], rate)}
