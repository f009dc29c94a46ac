"""What a run of slim.py aims at, what every step must keep, and when it is over: pure functions of measurements."""

import math
from collections.abc import Sequence

from utils.errors import InputError
from utils.slimming.options import GOALS, SMALLEST_STEP, SlimOptions, flags
from utils.slimming.state import Measurement, SlimRun, Step

ROUNDING = 1e-9
ALMOST = 0.2  # of a step: what is left over of a goal and goes with the last step
UNITS = {
    "flops": "{:.1%} of the FLOPs",
    "params": "{:.1%} of the parameters",
    "latency_ms": "{:.2f} ms an image",
    "size_mb": "{:.2f} MB",
}


def goal_name(options: SlimOptions) -> str | None:
    """Return which of GOALS the SlimOptions ask for, or None when the model is to be as small as the rules allow."""
    return next((name for name in GOALS if getattr(options, name) is not None), None)


def goal_value(name: str, network: Measurement, start: Measurement) -> float:
    """Return what a network has of a goal: a share of the start's FLOPs or parameters, milliseconds, or MB."""
    if name == "latency_ms":
        return network.goal_ms
    if name == "size_mb":
        return network.bytes / 1e6
    if name == "flops":
        return network.gflops / start.gflops
    return network.parameters / start.parameters


def goal_limit(options: SlimOptions, name: str) -> float:
    """Return the largest value that meets a goal: shares count as met when less than SMALLEST_STEP of them lacks."""
    return getattr(options, name) * (1 + SMALLEST_STEP if name in ("flops", "params") else 1)


def reached(options: SlimOptions, network: Measurement, start: Measurement) -> bool:
    """Tell whether a network meets the size goal of the SlimOptions."""
    name = goal_name(options)
    return name is not None and goal_value(name, network, start) <= goal_limit(options, name)


def in_words(name: str, value: float) -> str:
    """Return a value of a goal with its unit."""
    return UNITS[name].format(value)


def broken(options: SlimOptions, network: Measurement, start: Measurement) -> str | None:
    """Return in words which rule a network breaks, or None."""
    lost = start.map - network.map
    if options.max_drop is not None and lost > options.max_drop + ROUNDING:
        return f"mAP50-95 {network.map:.4f} is {lost:.4f} below the start's, more than {options.max_drop:g}"
    if options.min_map is not None and network.map < options.min_map:
        return f"mAP50-95 {network.map:.4f} is below {options.min_map:g}"
    if options.stop_loss is not None and not (network.loss is not None and network.loss <= options.stop_loss):
        return f"validation loss {network.loss} is above {options.stop_loss:g}"
    return None


def next_share(options: SlimOptions, steps: Sequence[Step]) -> float:
    """Return the share that the next attempt may remove at most; steps: the finished ones.

    Every attempt that was undone halves it for all that follow.
    """
    share = options.share / 2 ** sum(not step.kept for step in steps)
    return min(share, steps[-1].share / 2) if steps and not steps[-1].kept else share


def over(options: SlimOptions, run: SlimRun) -> str | None:
    """Return in words why no further attempt is made, or None. No step of the run is under way."""
    steps, start, latest = run.state.steps, run.state.start, run.state.networks[-1]
    if reached(options, latest, start):
        return f"the goal is reached: {in_words(goal_name(options), goal_value(goal_name(options), latest, start))}"
    if steps and not steps[-1].kept:
        last = steps[-1]
        if last.attempt > options.retries:
            tried = f"{last.attempt} attempts" if options.retries else "its only attempt"
            return f"step {last.number} broke a rule in {tried} ({last.why})"
        if next_share(options, steps) < SMALLEST_STEP:
            least = f"less than {SMALLEST_STEP:.0%} is no step"
            return f"step {last.number} broke a rule, and {least} ({last.why})"
    if options.steps is not None and len(run.state.kept) >= options.steps:
        return f"--steps {options.steps}: as many are kept"
    return time_over(options, run)


def time_over(options: SlimOptions, run: SlimRun) -> str | None:
    """Return in words that the time is up, or None."""
    up = options.hours is not None and run.seconds >= options.hours * 3600
    return f"--hours {options.hours:g}: the time is up" if up else None


def steps_to_go(options: SlimOptions, run: SlimRun) -> int | None:
    """Return about how many steps are still to be finished, the one under way included; None when that is unknown."""
    name, start, now = goal_name(options), run.state.start, run.state.networks[-1]
    counts = []
    if options.steps is not None:
        counts.append(options.steps - len(run.state.kept))
    if name is not None:
        ratio = getattr(options, name) / goal_value(name, now, start)
        share = next_share(options, run.state.steps)
        counts.append(math.ceil(math.log(ratio) / math.log(1 - share) - ALMOST) if ratio < 1 else 0)
    return max(min(counts), 1) if counts else None


def conclusion(options: SlimOptions, run: SlimRun, reason: str) -> str:
    """Return the reason why a run ends, with a goal that was not reached named first."""
    name, best = goal_name(options), run.state.networks[-1]
    if name is None or reached(options, best, run.state.start):
        return reason
    value = in_words(name, goal_value(name, best, run.state.start))
    return f"{in_words(name, getattr(options, name))} not reached, {value} is the best: {reason}"


def refuse_start(options: SlimOptions, start: Measurement) -> None:
    """Raise InputError when the start has met the goal already, or breaks a rule as it is."""
    if reached(options, start, start):
        name = goal_name(options)
        value = in_words(name, goal_value(name, start, start))
        raise InputError(f"{flags([name])} {getattr(options, name):g}: the start has {value}: the goal is met already")
    rule = broken(options, start, start)
    if rule:
        raise InputError(f"{options.weights[0]}: breaks a rule as it is: {rule}")
