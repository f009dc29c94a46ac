"""What a slim.json record says, in sentences."""

from utils.benchmark.latency import FASTER
from utils.pictures.html import short_name
from utils.slimming.report.points import MEGA, finite, ratio, result_of, state_of

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
NEAR = 0.01  # a share that is this close to a fraction is called by its name
PHASES = {"sparse": "sparse training", "cut": "cutting", "finetune": "fine-tuning", "measure": "measuring"}
STAGES = {"sparse": "after sparse training", "pruned": "after the cut", "finetuned": "after fine-tuning"}


def headline(record, best, start):
    """Return the first sentence of a report.

    Args:
        record: content of slim.json.
        best, start: Points of the delivered network and of the one that the run began with.
    """
    if not record["finished"]:
        return progress(record)
    if best is start:
        return "No step was kept: the network stays as it was"
    found = comparison(best, start)
    if found:
        return found if found.startswith("mAP") else found[0].upper() + found[1:]
    return f"Step {best.label} is delivered; nothing was measured"


def progress(record):
    """Return in words where an unfinished run stands."""
    if record["reason"]:
        return f"Stopped: {record['reason']}"
    phase = record["phase"]
    if not phase:
        return f"Running: {steps_done(record)}"
    total = record["options"].get("steps")
    of = f" of at most {total}" if isinstance(total, int) and total >= phase["step"] else ""
    attempt = f", attempt {phase['attempt']}" if (phase.get("attempt") or 1) > 1 else ""
    where = f"Step {phase['step']}{of}{attempt}" if phase["step"] else "Before the first step"
    epoch = (
        f", epoch {phase['epoch']} of {phase['epochs']}"
        if phase.get("epochs") and phase.get("epoch") is not None
        else ""
    )
    return f"{where}: {PHASES.get(phase['name'], phase['name'])}{epoch}"


def steps_done(record):
    """Return how many attempts are finished, in words."""
    count = len(record["steps"])
    undone = sum(not step["kept"] for step in record["steps"])
    if not count:
        return "no step is finished yet"
    return f"{count} step{'s' * (count > 1)} finished" + (f", {undone} of them undone" if undone else "")


def comparison(best, start):
    """Return what became of FLOPs, time and accuracy between two Points, as part of a sentence."""
    share = ratio(best, start, "gflops")
    parts = [f"{fraction(share)} of the FLOPs"] if share is not None else []
    parts += [part for part in (speed(best, start), accuracy(best, start)) if part]
    return ", ".join(parts)


def fraction(share):
    """Return a share as a fraction in words when it is near one, otherwise in percent."""
    near = min(FRACTIONS, key=lambda known: abs(known - share))
    return FRACTIONS[near] if abs(near - share) <= NEAR else f"{share:.0%}"


def speed(best, start):
    """Return in words how much faster one Point is than another, or None when that was not measured."""
    times = (start.value("ms"), best.value("ms"))
    if not all(times):
        return None
    factor = times[0] / times[1]
    if factor >= FASTER:
        return f"{factor:.1f} times as fast" if factor >= 1.15 else f"{factor:.2f} times as fast"
    word = "no faster" if factor * FASTER >= 1 else "slower"
    return f"{word} ({times[1]:.1f} instead of {times[0]:.1f} ms an image)"


def accuracy(best, start):
    """Return in words what became of the mAP50-95, or None when that was not measured."""
    now, before = best.value("map"), start.value("map")
    return None if None in (now, before) else f"mAP50-95 {now:.3f} instead of {before:.3f}"


def counted(step):
    """Return what the share of a step is one of."""
    return "milliseconds" if step.get("rates") else "FLOPs"


def story(step):
    """Return sentences on what happened at one attempt, finished or under way."""
    aim = f"remove {step['share']:.0%} of the {counted(step)}, down to {step['left']:.0%} of the start's"
    sentences = [f"It set out to {aim}."]
    found = [(words, finite(step[key]["map"])) for key, words in STAGES.items() if step[key]]
    scores = ", ".join(f"{score:.3f} {words}" for words, score in found if score is not None)
    sentences += [f"mAP50-95: {scores}."] if scores else []
    result = result_of(step)
    sizes = [
        form.format(result[key] / unit)
        for key, unit, form in (
            ("gflops", 1, "{:.3f} GFLOPs"),
            ("bytes", MEGA, "{:.2f} MB"),
            ("ms", 1, "{:.1f} ms an image"),
        )
        if finite(result.get(key)) is not None
    ]
    sentences += [f"Result: {', '.join(sizes)}."] if sizes else []
    sentences += [f"{state_of(step).capitalize()}: {step['why'].rstrip('.')}."] if step.get("why") else []
    return [*sentences, *durations(step["seconds"])]


def durations(seconds):
    """Return a sentence on how long the parts {name: seconds} of a step took, in a list; empty when that is unknown."""
    known = {name: value for name, value in (seconds or {}).items() if value is not None}
    if not known:
        return []
    parts = ", ".join(f"{PHASES.get(name, name)} {duration(value)}" for name, value in known.items())
    return [f"It took {duration(sum(known.values()))}" + (f": {parts}." if len(known) > 1 else ".")]


def duration(seconds):
    """Return a time span in the unit that suits it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def layer_label(name, length):
    """Return a layer's name without what all have in common, and of one longer than `length` letters the end."""
    name = short_name(name)
    return name if len(name) <= length else f"…{name[1 - length :]}"


def tails(norms, count=5):
    """Return up to `count` layers whose filters reach furthest towards zero: [(name, lower quartile over median)].

    norms: {layer: [min, q25, median, q75, max]}. A low value says that the layer has many filters much smaller than
    its usual one.
    """
    found = [(name, values[1] / values[2]) for name, values in norms.items() if values[2] > 0]
    return sorted(found, key=lambda row: row[1])[:count]
