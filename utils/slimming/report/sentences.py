"""The sentences of a run's report and of its last line."""

from collections.abc import Mapping

from utils.benchmark.latency import FASTER
from utils.pictures.html import short_name
from utils.slimming.report.points import MEGA, Point, ratio, state_of
from utils.slimming.state import SlimState, Step

FRACTIONS = {
    1 / 10: "a tenth",
    1 / 8: "an eighth",
    1 / 5: "a fifth",
    1 / 4: "a quarter",
    1 / 3: "a third",
    1 / 2: "half",
    2 / 3: "two thirds",
    3 / 4: "three quarters",
}
SEEN = 0.0005  # of mAP50-95: less is not seen in three digits
DROP = 0.01  # of mAP50-95: without --max-drop, up to so much counts as kept
NEAR = 0.01  # a share that is this close to a fraction is called by its name
PHASES = {"sparse": "sparse training", "cut": "cutting", "finetune": "fine-tuning"}
STAGES = {"sparse": "after sparse training", "pruned": "after the cut", "finetuned": "after fine-tuning"}


def headline(state: SlimState, best: Point, start: Point) -> str:
    """Return the first sentence of a report; best, start: the delivered network and the one that the run began with."""
    if not state.finished:
        return progress(state)
    if best is start:
        return "No step was kept: the network stays as it was"
    found = comparison(best, start)
    return found[0].upper() + found[1:]


def progress(state: SlimState) -> str:
    """Return in words where an unfinished run stands."""
    phase = state.phase
    if not phase:
        return f"Running: {steps_done(state)}"
    total = state.options.get("steps")
    of = f" of at most {total}" if isinstance(total, int) and total >= phase.step else ""
    attempt = f", attempt {phase.attempt}" if phase.attempt > 1 else ""
    epoch = f", epoch {phase.epoch} of {phase.epochs}" if phase.epochs else ""
    return f"Step {phase.step}{of}{attempt}: {PHASES[phase.name]}{epoch}"


def steps_done(state: SlimState) -> str:
    """Return how many attempts are finished, in words."""
    count = len(state.steps)
    undone = sum(not step.kept for step in state.steps)
    if not count:
        return "no step is finished yet"
    return f"{count} step{'' if count == 1 else 's'} finished" + (f", {undone} of them undone" if undone else "")


def comparison(best: Point, start: Point) -> str:
    """Return what became of FLOPs, time and accuracy between two Points, as part of a sentence."""
    share = ratio(best, start, "gflops")
    parts = [f"{fraction(share)} of the FLOPs"] if share is not None else []
    parts += [part for part in (speed(best, start),) if part]
    return ", ".join([*parts, accuracy_change(start.value("map"), best.value("map"))])


def fraction(share: float) -> str:
    """Return a share as a fraction in words when it is near one, otherwise in percent."""
    near = min(FRACTIONS, key=lambda known: abs(known - share))
    return FRACTIONS[near] if abs(near - share) <= NEAR else f"{share:.0%}"


def speed(best: Point, start: Point) -> str | None:
    """Return in words how much faster one Point is than another, or None when that was not measured."""
    times = (start.value("ms"), best.value("ms"))
    if not all(times):
        return None
    factor = times[0] / times[1]
    if factor >= FASTER:
        return f"{factor:.1f} times as fast" if factor >= 1.15 else f"{factor:.2f} times as fast"
    word = "no faster" if factor * FASTER >= 1 else "slower"
    return f"{word} ({times[1]:.1f} instead of {times[0]:.1f} ms an image)"


def accuracy_change(before: float, after: float) -> str:
    """Return a mAP50-95 before and after in words, with what was lost of it."""
    change = after - before
    if not before:
        words = "the start found nothing"
    elif abs(change) < SEEN:
        words = "nothing lost"
    elif change > 0:
        words = f"{change:.3f} gained"
    else:
        words = f"{-change:.3f} lost, {-change / before:.0%} of it"
    return f"mAP50-95 {before:.3f} → {after:.3f} ({words})"


def accuracy_kept(state: SlimState, best: Point, start: Point) -> bool:
    """Tell whether a network kept the accuracy of the start: as far as --max-drop allows, otherwise within DROP."""
    allowed = state.options.get("max_drop")
    return start.value("map") - best.value("map") <= (DROP if allowed is None else allowed) + SEEN


def counted(step: Step) -> str:
    """Return what the share of a step is one of."""
    return "milliseconds" if step.rates else "FLOPs"


def story(step: Step) -> list[str]:
    """Return sentences on what happened at one attempt, finished or under way."""
    aim = f"remove {step.share:.0%} of the {counted(step)}, down to {step.left:.0%} of the start's"
    sentences = [f"It set out to {aim}."]
    found = [(words, getattr(step, key)) for key, words in STAGES.items()]
    scores = ", ".join(f"{network.map:.3f} {words}" for words, network in found if network)
    sentences += [f"mAP50-95: {scores}."] if scores else []
    if result := step.network:
        sizes = f"{result.gflops:.3f} GFLOPs, {result.bytes / MEGA:.2f} MB, {result.ms:.1f} ms an image"
        sentences.append(f"Result: {sizes}.")
    sentences += [f"{state_of(step).capitalize()}: {step.why.rstrip('.')}."] if step.why else []
    return [*sentences, *durations(step.seconds)]


def durations(seconds: Mapping[str, float]) -> list[str]:
    """Return a sentence on how long the parts {name: seconds} of a step took, in a list; empty when it has none."""
    if not seconds:
        return []
    parts = ", ".join(f"{PHASES.get(name, name)} {duration(value)}" for name, value in seconds.items())
    return [f"It took {duration(sum(seconds.values()))}" + (f": {parts}." if len(seconds) > 1 else ".")]


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def layer_label(name: str, length: int) -> str:
    """Return a layer's name without what all have in common, and of one longer than `length` letters the end."""
    name = short_name(name)
    return name if len(name) <= length else f"…{name[1 - length :]}"


def tails(norms: Mapping[str, list[float]], count: int = 5) -> list[tuple[str, float]]:
    """Return up to `count` layers whose filters reach furthest towards zero: [(name, lower quartile over median)].

    norms: {layer: [min, q25, median, q75, max]}. A low value says that the layer has many filters much smaller than
    its usual one.
    """
    found = [(name, values[1] / values[2]) for name, values in norms.items() if values[2] > 0]
    return sorted(found, key=lambda row: row[1])[:count]
