"""The whole of slim.py: steps are taken until a rule ends it; whatever happens, the best network so far is kept."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import yaml

from models.spec import make_activation
from utils.benchmark.latency import measure_latency
from utils.errors import InputError
from utils.files.atomic import write_atomically, write_together
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.downloads import find_weights
from utils.files.hyp import load_hyp
from utils.files.paths import check_output, free_name, new_run
from utils.pruning.choice.milliseconds import Rates, fit_rates
from utils.slimming.evaluator import CheckpointEvaluator
from utils.slimming.hooks import TimeIsUp
from utils.slimming.options import SlimOptions
from utils.slimming.planning import planned_share, prospects
from utils.slimming.report.page import commands
from utils.slimming.report.worst import write_worst
from utils.slimming.rules import broken, conclusion, goal_name, next_share, over, reached, refuse_start
from utils.slimming.state import SlimRun, Step, unfinished
from utils.slimming.steps import HYP, START, Pipeline, take_step
from utils.slimming.terminal import Console, final_table, outcome
from utils.training.distributed import process_group
from utils.training.faults.setbacks import TrainingError

BEST = "slim.pt"
SETTINGS = "slim.yaml"
Plan = Callable[..., tuple[float, Rates | None] | None]


def slim(
    options: SlimOptions,
    *,
    console: Console | None = None,
    latency: Callable[..., dict] = measure_latency,
    fit: Callable[..., Rates] = fit_rates,
    reports: bool = True,
) -> SlimRun:
    """Make a model smaller as the SlimOptions say, or go on with the run that was interrupted; return the run.

    Args:
        options: SlimOptions.
        console: what tells how it goes.
        latency: how networks are timed, see measure_latency.
        fit: how this machine's Rates are found, see fit_rates.
        reports: whether charts and page are written.

    Raises InputError.
    """
    options.check()
    if options.activation:
        make_activation(options.activation, "--activation")  # its arguments too fit, before hours of work
    if process_group().distributed:
        raise InputError("slim.py runs in one process; start it with python, not with torchrun")
    if options.out:
        check_output(options.out)
    folder, console = unfinished(options), console or Console(options)
    if folder:
        pipeline = resume_run(options, folder, console, latency, reports)
    else:
        pipeline = start_run(options, console, latency, reports)

    def plan(*args):
        """Plan a step with what measures times here."""
        return planned_share(*args, latency=latency, fit=fit)

    deliver(pipeline, conclusion(options, pipeline.run, take_steps(pipeline, plan)))
    return pipeline.run


def start_run(options: SlimOptions, console: Console, latency: Callable[..., dict], reports: bool) -> Pipeline:
    """Measure the start, check that the goal is ahead, and create the folder of the run."""
    hyp = load_hyp(options.hyp) | ({} if options.lr0 is None else {"lr0": options.lr0})
    checkpoint = load_checkpoint(find_weights(options.weights[0]))
    model = checkpoint.network
    evaluator = CheckpointEvaluator.of(options, hyp, model, latency)
    with tempfile.TemporaryDirectory() as place:
        save_checkpoint(Path(place) / START, finished_content(model))
        start = evaluator.measure(Path(place) / START, Path(place))
        refuse_start(options, start)
        prospect = prospects(options, evaluator)
        folder = new_run(options.project, options.name)
        shutil.copytree(Path(place) / START.parent, folder / START.parent)
    for name, content in ((HYP, hyp), (SETTINGS, options.settings())):
        write_atomically(folder / name, yaml.safe_dump(content, sort_keys=False).encode())
    shutil.copyfile(folder / START, folder / BEST)
    run = SlimRun.create(folder, options.settings(), options.goal_words(), start)
    run.save()
    pipeline = Pipeline(options, run, evaluator, console, reports)
    console.run_begins(run, goes_on=False)
    for line in prospect:
        console.say(line)
    pipeline.report()
    return pipeline


def resume_run(
    options: SlimOptions, folder: Path, console: Console, latency: Callable[..., dict], reports: bool
) -> Pipeline:
    """Return the Pipeline of the unfinished run in a folder."""
    run = SlimRun.read(folder)
    model = load_checkpoint(folder / START).model
    console.run_begins(run, goes_on=True)
    evaluator = CheckpointEvaluator.of(options, load_hyp(folder / HYP), model, latency)
    return Pipeline(options, run, evaluator, console, reports)


def take_steps(pipeline: Pipeline, plan: Plan = planned_share, take: Callable[[Pipeline], None] = take_step) -> str:
    """Take steps until something ends it; return what, in words. plan, take: how a step is planned and taken."""
    run = pipeline.run
    while True:
        if run.state.current is None:
            reason = over(pipeline.options, run) or plan_step(pipeline, plan)
            if reason:
                return reason
        pipeline.console.step_begins(run)
        try:
            take(pipeline)
            keep_or_undo(pipeline)
        except TrainingError as error:
            run.conclude_step(False, f"a training failed: {error}")
        except TimeIsUp as error:
            return str(error)
        pipeline.console.step_ends(run)
        pipeline.report()


def plan_step(pipeline: Pipeline, plan: Plan) -> str | None:
    """Begin the next step, or the next attempt at one; return in words why there is none, otherwise None."""
    run, options = pipeline.run, pipeline.options
    steps, start, now = run.state.steps, run.state.start, run.state.networks[-1]
    last = steps[-1] if steps else None
    if goal_name(options) == "latency_ms":
        pipeline.console.say("measuring what widths cost in milliseconds")
    planned = plan(options, run.folder / now.file, next_share(options, steps), start)
    if planned is None:
        return f"no more can be cut with {replace(options.limits, std_guard=options.std_guard)}"
    share, rates = planned
    left = (1 - share) * (now.goal_ms / start.goal_ms if rates else now.gflops / start.gflops)
    attempt = last.attempt + 1 if last and not last.kept else 1
    run.begin_step(Step(len(run.state.kept) + 1, attempt, share, left, rates))
    return None


def keep_or_undo(pipeline: Pipeline) -> None:
    """Keep the result of the step under way when it breaks no rule."""
    run, options = pipeline.run, pipeline.options
    start, found = run.state.start, run.state.current.network
    rule = broken(options, found, start)
    if rule is None:
        write_atomically(run.folder / BEST, (run.folder / found.file).read_bytes())
    met = "the goal is reached" if reached(options, found, start) else "it keeps the rules"
    run.conclude_step(rule is None, rule or met)


def deliver(pipeline: Pipeline, reason: str) -> None:
    """Write --out, end the run, and show the table; the last line says what was reached and what it cost."""
    run, options, file = pipeline.run, pipeline.options, pipeline.run.folder / BEST
    if options.out:
        out, data = Path(options.out), file.read_bytes()

        def make_room() -> None:
            """Keep an earlier file under another name."""
            if out.exists() and out.read_bytes() != data:
                kept = free_name(out)
                out.rename(kept)
                pipeline.console.say(f"{out} existed; the earlier one is kept as {kept}")

        write_together({out: data}, make_room)
        file = out
    time_again(pipeline)
    run.state.worst = write_worst(run, pipeline.evaluator) if pipeline.reports else []
    run.finish(reason, file)
    pipeline.report()
    for line in (
        f"\n{final_table(run)}",
        *run.state.worst,
        file,
        f"next: {commands(run.state.options, str(file))['export.py']}",
    ):
        pipeline.console.say(line)
    pipeline.console.say(f"{reason}; {outcome(run)}")


def time_again(pipeline: Pipeline) -> None:
    """Measure the milliseconds of the start and all kept steps anew, in turns, so that they compare."""
    networks, evaluator = pipeline.run.state.networks, pipeline.evaluator
    models = {i: load_checkpoint(pipeline.folder / found.file).model for i, found in enumerate(networks)}
    for i, ms in evaluator.latency(models, evaluator.imgsz).items():
        networks[i].ms = ms
