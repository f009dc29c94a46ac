"""The lines and the bar of slim.py: a line where a phase begins and ends, a bar over the epochs on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

from utils.progress import Progress
from utils.slimming.options import SlimOptions
from utils.slimming.report.sentences import PHASES, accuracy_change, counted, duration
from utils.slimming.rules import steps_to_go
from utils.slimming.state import Measurement, SlimRun

BAR = "  {desc} {n_fmt}/{total_fmt} {bar:12} {elapsed}<{remaining}{postfix}"


class Console:
    """Shows a run with the SlimOptions on a terminal or in a log."""

    def __init__(
        self, options: SlimOptions, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """stream: where progress goes; default: standard error. Lines go to standard output. clock: returns seconds."""
        self.options, self.stream, self.clock = options, stream or sys.stderr, clock

    def say(self, line: object) -> None:
        """Print a line, above the bar if there is one."""
        tqdm.write(str(line))
        sys.stdout.flush()

    def run_begins(self, run: SlimRun, goes_on: bool) -> None:
        """Say which run this is, what it aims at, and what it starts with or where it goes on."""
        self.say(f"{run.folder}: {run.state.goal}")
        if goes_on:
            count = len(run.state.steps)
            done = f", {steps_in_words(count)} finished" if count else ""
            self.say(f"goes on where it was interrupted after {duration(run.seconds)}{done}")
        else:
            self.say(f"start: {numbers(run.state.start, run)}")

    def step_begins(self, run: SlimRun) -> None:
        """Say what a step sets out to do, what is left to do after it, and the best result so far."""
        step = run.state.current
        again = f", attempt {step.attempt}" if step.attempt > 1 else ""
        aim = f"{step.share:.1%} of the {counted(step)} go, {step.left:.1%} of the start's stay"
        self.say(f"step {step.number}{again}: {aim}; {self.outlook(run)}; best so far: {best(run)}")

    def phase_begins(self, run: SlimRun) -> None:
        """Say that a training begins or goes on."""
        phase = run.state.phase
        done = f", {phase.epoch} are done" if phase.epoch else ""
        self.say(f"  {PHASES[phase.name]}: {phase.epochs} epoch{'' if phase.epochs == 1 else 's'}{done}")

    def phase_ends(self, run: SlimRun, found: Measurement) -> None:
        """Say what came of a phase, and how long it took."""
        self.say(f"  {PHASES[run.state.phase.name]} took {duration(run.phase_seconds)}: {numbers(found, run)}")

    def step_ends(self, run: SlimRun) -> None:
        """Say whether a step is kept, and why."""
        step = run.state.steps[-1]
        self.say(f"  {'kept' if step.kept else 'undone'}: {step.why}")

    @contextmanager
    def bar(self, run: SlimRun) -> Iterator[Callable[[int, float], Any]]:
        """Show the progress over the epochs of the phase; give what moves it: callable(epochs, mAP50-95)."""
        phase = run.state.phase
        name = f"step {phase.step} {PHASES[phase.name]}"
        with Progress(
            name, phase.epochs, "epochs", done=phase.epoch, bar_format=BAR, stream=self.stream, clock=self.clock
        ) as progress:

            def move(done, accuracy):
                """Show how many epochs are done, and the mAP50-95."""
                progress.note = f"mAP50-95 {accuracy:.3f}; {self.outlook(run)}; best: {best(run)}"
                progress.update(done - progress.done)

            yield move

    def outlook(self, run: SlimRun) -> str:
        """Return in words what is left to do, and about how long that takes."""
        count = steps_to_go(self.options, run)
        steps = "as many steps as the rules allow" if count is None else f"about {steps_in_words(count)} to go"
        seconds = seconds_to_go(self.options, run, count or 1)
        if seconds is None:
            return steps
        time = f"about {duration(seconds)}"
        return f"{steps}, this one takes {time} more" if count is None else f"{steps}, {time}"


def steps_in_words(count: int) -> str:
    """Return "1 step", "2 steps" and so on."""
    return f"{count} step{'' if count == 1 else 's'}"


def seconds_to_go(options: SlimOptions, run: SlimRun, count: int) -> float | None:
    """Return about how many seconds the next `count` steps take, with the one under way; None when not known."""
    phase, whole = run.state.phase, None
    finished = [sum(step.seconds.values()) for step in run.state.steps if step.finetuned]
    if finished:
        whole = sum(finished) / len(finished)
    if not (phase and phase.epochs and phase.epoch):
        return whole and whole * count
    each = run.phase_seconds / phase.epoch
    left = phase.epochs - phase.epoch + (options.finetune_epochs if phase.name == "sparse" else 0)
    whole = whole or each * (options.sparse_epochs + options.finetune_epochs)
    return each * left + whole * (count - 1)


def numbers(found: Measurement, run: SlimRun) -> str:
    """Return measurements in one line; the FLOPs as a share of the start's too."""
    share = found.gflops / run.state.start.gflops
    return (
        f"mAP50-95 {found.map:.4f}, {found.gflops:.3g} GFLOPs ({share:.1%}), {found.parameters:,} parameters, "
        f"{found.bytes / 1e6:.2f} MB, {found.ms:.1f} ms"
    )


def best(run: SlimRun) -> str:
    """Return in words what would be delivered now."""
    number = run.state.delivered
    if not number:
        return "the start"
    found = run.state.networks[-1]
    share = found.gflops / run.state.start.gflops
    return f"step {number}, {share:.1%} of the FLOPs, mAP50-95 {found.map:.4f}"


def outcome(run: SlimRun) -> str:
    """Return in words what became of the accuracy, with the loss against the start."""
    networks = run.state.networks
    return accuracy_change(networks[0].map, networks[-1].map)


def final_table(run: SlimRun) -> str:
    """Return the table of a finished run: the start, each kept step, what is delivered."""
    head = ("", "mAP50", "mAP50-95", "parameters", "GFLOPs", "file MB", "ms")
    rows = [("start", run.state.start)]
    rows += [(f"step {step.number}", step.network) for step in run.state.kept]
    rows.append(("delivered", rows[-1][1]))
    widths = (8, 10, 12, 9, 9, 8)
    lines = [f"{head[0]:<10}" + "".join(f"{word:>{width}}" for word, width in zip(head[1:], widths))]
    for name, m in rows:
        lines.append(
            f"{name:<10}{m.map50:8.4f}{m.map:10.4f}{m.parameters:12,}{m.gflops:9.3f}{m.bytes / 1e6:9.2f}{m.ms:8.2f}"
        )
    return "\n".join(lines)
