"""The whole of slim.py: steps are taken until a rule ends it; whatever happens, the best network so far is kept."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from shlex import quote

import yaml

from utils.benchmark.latency import measure_latency
from utils.errors import InputError
from utils.files.atomic import write_atomically
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.downloads import find_weights
from utils.files.hyp import load_hyp
from utils.files.paths import free_name, new_run
from utils.pruning.prune import check_output
from utils.slimming.gauge import Gauge
from utils.slimming.planning import planned_share
from utils.slimming.rules import broken, conclusion, goal_name, goal_value, in_words, next_share, over, reached
from utils.slimming.state import Record, result, unfinished
from utils.slimming.steps import HYP, START, Work, take_step
from utils.slimming.terminal import Display, final_table
from utils.slimming.watch import TimeIsUp
from utils.training.distributed import process_group
from utils.training.loop import TrainingError

BEST = "slim.pt"
SETTINGS = "slim.yaml"


def slim(options):
    """Make a model smaller as the SlimOptions say, or go on with the run that was interrupted; return its Record.

    Raises InputError.
    """
    options.check()
    if process_group().distributed:
        raise InputError("slim.py runs in one process; start it with python, not with torchrun")
    if options.out:
        check_output(options.out)
    folder = unfinished(options)
    work = go_on(options, folder) if folder else begin(options)
    reason = conclusion(options, work.record, steps(work))
    deliver(work, reason)
    return work.record


def begin(options):
    """Measure the start, check that the goal is ahead, and create the folder of the run; return the Work."""
    hyp = load_hyp(options.hyp) | ({} if options.lr0 is None else {"lr0": options.lr0})
    checkpoint = load_checkpoint(find_weights(options.weights[0]))
    model = checkpoint.ema or checkpoint.model
    gauge = Gauge.of(options, hyp, model)
    with tempfile.TemporaryDirectory() as place:
        save_checkpoint(Path(place) / START, finished_content(model))
        start = gauge(Path(place) / START, place)
        refuse_start(options, start)
        folder = new_run(options.project, options.name)
        shutil.copytree(Path(place) / START.parent, folder / START.parent)
    for name, content in ((HYP, hyp), (SETTINGS, options.settings())):
        write_atomically(folder / name, yaml.safe_dump(content, sort_keys=False).encode())
    shutil.copyfile(folder / START, folder / BEST)
    record = Record.create(folder, options.settings(), options.goal_words(), start)
    record.save()
    work = Work(options, record, gauge, Display(options))
    work.display.run_begins(record, goes_on=False)
    work.report()
    return work


def refuse_start(options, start):
    """Raise InputError when a start with these measurements has met the goal, or breaks a rule."""
    if reached(options, start, start):
        name = goal_name(options)
        value = in_words(name, goal_value(name, start, start))
        raise InputError(
            f"--{name.replace('_', '-')} {getattr(options, name):g}: the start has {value}: the goal is met already"
        )
    rule = broken(options, start, start)
    if rule:
        raise InputError(f"{options.weights[0]}: breaks a rule as it is: {rule}")


def go_on(options, folder):
    """Return the Work of an unfinished run."""
    record = Record.read(folder)
    model = load_checkpoint(folder / START).model
    display = Display(options)
    display.run_begins(record, goes_on=True)
    return Work(options, record, Gauge.of(options, load_hyp(folder / HYP), model), display)


def steps(work):
    """Take steps until something ends it; return what, in words."""
    record = work.record
    while True:
        if record.current is None:
            reason = over(work.options, record) or next_step(work)
            if reason:
                return reason
        work.display.step_begins(record)
        try:
            take_step(work)
            judge(work)
        except TrainingError as error:
            record.conclude_step(False, f"a training failed: {error}")
        except TimeIsUp as error:
            return str(error)
        work.display.step_ends(record)
        work.report()


def next_step(work):
    """Begin the next step, or attempt at one; return in words why that is not possible, or None."""
    record, last = work.record, (work.record.content["steps"] or [None])[-1]
    start, now = record.content["start"], record.points[-1]
    asked = next_share(work.options, record.content["steps"])
    if goal_name(work.options) == "latency_ms":
        work.display.say("measuring what widths cost in milliseconds")
    planned = planned_share(work.options, record.folder / now["file"], asked, start)
    if planned is None:
        return f"no more can be cut with {replace(work.options.limits, std_guard=work.options.std_guard)}"
    share, rates = planned
    counted = "goal_ms" if rates else "gflops"
    attempt = last["attempt"] + 1 if last and not last["kept"] else 1
    record.content["current"] = {
        "number": len(record.kept) + 1,
        "attempt": attempt,
        "share": share,
        "rates": rates,
        "left": (1 - share) * now[counted] / start[counted],
        "sparse": None,
        "pruned": None,
        "finetuned": None,
        "result": None,
        "seconds": {},
    }
    record.save()
    return None


def judge(work):
    """Keep the step under way, or not."""
    record = work.record
    start, found = record.content["start"], result(record.current)
    rule = broken(work.options, found, start)
    if rule is None:
        write_atomically(record.folder / BEST, (record.folder / found["file"]).read_bytes())
    met = "the goal is reached" if reached(work.options, found, start) else "it keeps the rules"
    record.conclude_step(rule is None, rule or met)


def deliver(work, reason):
    """Write --out, end the record, and show the table."""
    record, file = work.record, work.record.folder / BEST
    if work.options.out:
        out, data = Path(work.options.out), file.read_bytes()
        if out.exists() and out.read_bytes() != data:
            kept = free_name(out)
            out.rename(kept)
            work.display.say(f"{out} existed; the earlier one is kept as {kept}")
        write_atomically(out, data)
        file = out
    retime(work)
    record.finish(reason, file)
    work.report()
    work.display.say(f"\n{reason}\n{final_table(record)}\n{file}\nnext: python export.py --weights {quote(str(file))}")


def retime(work):
    """Measure the milliseconds of the start and all kept steps anew, in turns, so that they compare."""
    points = work.record.points
    models = {i: load_checkpoint(work.record.folder / found["file"]).model for i, found in enumerate(points)}
    for i, ms in measure_latency(models, work.gauge.imgsz).items():
        points[i]["ms"] = ms
