"""What slim.py shows while it works: a line where a phase begins and ends, a bar over the epochs on a terminal."""

import sys
from contextlib import contextmanager

from tqdm import tqdm

from utils.slimming.report.sentences import PHASES, counted, duration
from utils.slimming.rules import steps_to_go
from utils.slimming.state import result

BAR = "  {desc} {n_fmt}/{total_fmt} {bar:12} {elapsed}<{remaining}{postfix}"


class Display:
    """Shows a run with the SlimOptions on a terminal or in a log."""

    def __init__(self, options, stream=None):
        """stream: where bars go; default: standard error. Lines go to standard output."""
        self.options, self.stream = options, stream or sys.stderr

    def say(self, line):
        """Print a line, above the bar if there is one."""
        tqdm.write(line)
        sys.stdout.flush()

    def run_begins(self, record, goes_on):
        """Say which run this is, what it aims at, and what it starts with or where it goes on."""
        self.say(f"{record.folder}: {record.content['goal']}")
        if goes_on:
            count = len(record.content["steps"])
            done = f", {count} step{'s' * (count > 1)} finished" if count else ""
            self.say(f"goes on where it was interrupted after {duration(record.seconds)}{done}")
        else:
            self.say(f"start: {numbers(record.content['start'], record)}")

    def step_begins(self, record):
        """Say what a step sets out to do, what is left to do after it, and the best result so far."""
        step = record.current
        again = f", attempt {step['attempt']}" if step["attempt"] > 1 else ""
        aim = f"{step['share']:.1%} of the {counted(step)} go, {step['left']:.1%} of the start's stay"
        self.say(f"step {step['number']}{again}: {aim}; {self.outlook(record)}; best so far: {best(record)}")

    def phase_begins(self, record):
        """Say that a training begins or goes on."""
        phase = record.content["phase"]
        done = f", {phase['epoch']} are done" if phase["epoch"] else ""
        plural = "s" * (phase["epochs"] > 1)
        self.say(f"  {PHASES[phase['name']]}: {phase['epochs']} epoch{plural}{done}")

    def phase_ends(self, record, found):
        """Say what came of a phase, and how long it took."""
        name = PHASES[record.content["phase"]["name"]]
        self.say(f"  {name} took {duration(record.phase_seconds)}: {numbers(found, record)}")

    def step_ends(self, record):
        """Say whether a step is kept, and why."""
        step = record.content["steps"][-1]
        self.say(f"  {'kept' if step['kept'] else 'undone'}: {step['why']}")

    @contextmanager
    def bar(self, record):
        """Show a bar over the epochs of the phase on a terminal; give what moves it: callable(epochs, mAP50-95)."""
        phase = record.content["phase"]
        name = f"step {phase['step']} {PHASES[phase['name']]}"
        with tqdm(
            total=phase["epochs"],
            initial=phase["epoch"],
            desc=name,
            disable=not self.stream.isatty(),
            file=self.stream,
            bar_format=BAR,
            leave=False,
        ) as bar:

            def move(done, accuracy):
                bar.set_postfix_str(
                    f"mAP50-95 {accuracy:.3f}; {self.outlook(record)}; best: {best(record)}", refresh=False
                )
                bar.update(done - bar.n)

            yield move

    def outlook(self, record):
        """Return in words what is left to do, and about how long that takes."""
        count = steps_to_go(self.options, record)
        steps = "as many steps as the rules allow" if count is None else f"about {count} step{'s' * (count > 1)} to go"
        seconds = seconds_to_go(self.options, record, count or 1)
        if seconds is None:
            return steps
        time = f"about {duration(seconds)}"
        return f"{steps}, this one takes {time} more" if count is None else f"{steps}, {time}"


def seconds_to_go(options, record, count):
    """Return about how many seconds the next `count` steps take, with the one under way; None when not known."""
    phase, whole = record.content["phase"], None
    finished = [sum(step["seconds"].values()) for step in record.content["steps"] if step["finetuned"]]
    if finished:
        whole = sum(finished) / len(finished)
    if not (phase and phase["epochs"] and phase["epoch"]):
        return whole and whole * count
    each = record.phase_seconds / phase["epoch"]
    left = phase["epochs"] - phase["epoch"] + (options.finetune_epochs if phase["name"] == "sparse" else 0)
    whole = whole or each * (options.sparse_epochs + options.finetune_epochs)
    return each * left + whole * (count - 1)


def numbers(found, record):
    """Return measurements in one line; the FLOPs as a share of the start's too."""
    share = found["gflops"] / record.content["start"]["gflops"]
    return (
        f"mAP50-95 {found['map']:.4f}, {found['gflops']:.3g} GFLOPs ({share:.1%}), {found['parameters']:,} parameters, "
        f"{found['bytes'] / 1e6:.2f} MB, {found['ms']:.1f} ms"
    )


def best(record):
    """Return in words what would be delivered now."""
    number = record.content["delivered"]
    if not number:
        return "the start"
    found = record.points[-1]
    share = found["gflops"] / record.content["start"]["gflops"]
    return f"step {number}, {share:.1%} of the FLOPs, mAP50-95 {found['map']:.4f}"


def final_table(record):
    """Return the table of a finished run: the start, each kept step, what is delivered."""
    head = ("", "mAP50", "mAP50-95", "parameters", "GFLOPs", "file MB", "ms")
    rows = [("start", record.content["start"])]
    rows += [(f"step {step['number']}", result(step)) for step in record.kept]
    rows.append(("delivered", rows[-1][1]))
    widths = (10, 8, 10, 12, 9, 9, 8)
    lines = [
        "".join(f"{word:>{width}}" if i else f"{word:<{width}}" for i, (word, width) in enumerate(zip(head, widths)))
    ]
    for name, m in rows:
        lines.append(
            f"{name:<10}{m['map50']:8.4f}{m['map']:10.4f}{m['parameters']:12,}{m['gflops']:9.3f}"
            f"{m['bytes'] / 1e6:9.2f}{m['ms']:8.2f}"
        )
    return "\n".join(lines)
