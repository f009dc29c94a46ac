"""The phases of a step: sparse training, the cut, fine-tuning, each measured; what is done is not done again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from utils.boxes.metrics import fitness
from utils.files.atomic import write_atomically
from utils.files.checkpoint import checkpoint_bytes, finished_content, load_checkpoint
from utils.files.paths import RunFolder
from utils.finetuning.finetune import distillation_hooks
from utils.finetuning.options import FinetuneOptions
from utils.pruning.pipeline import make_cut, score
from utils.slimming.evaluator import CheckpointEvaluator
from utils.slimming.hooks import ProgressHook
from utils.slimming.options import TEACHING, TRAINING, SlimOptions
from utils.slimming.planning import pruning_task, step_cut, step_goal
from utils.slimming.report.write import write_page, write_report
from utils.slimming.state import SlimRun, SlimState, Step
from utils.slimming.terminal import Console
from utils.sparsity.guard import GuardedFadeOut
from utils.sparsity.preview import PreviewHook
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.train import train

Options = TypeVar("Options", bound=TrainOptions)

START = Path("start", "start.pt")
HYP = "hyp.yaml"
PRUNED = "pruned.pt"
FOLDERS = {"sparse": "sparse", "finetune": "finetuned"}  # phase → folder of its training


@dataclass(frozen=True)
class Pipeline:
    """What the phases of a run share."""

    options: SlimOptions
    run: SlimRun
    evaluator: CheckpointEvaluator
    console: Console
    reports: bool = True  # whether charts and page are written

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.run.folder

    @property
    def step_folder(self) -> Path:
        """Folder of the step under way."""
        return self.folder / f"step{self.run.state.current.label}"

    @property
    def newest(self) -> Path:
        """Checkpoint that the step under way begins with."""
        return self.folder / self.run.state.networks[-1].file

    def report(self, write: Callable[[SlimState, Path], None] = write_report) -> None:
        """Write charts and page, or with write_page the page alone. The run goes on whatever goes wrong with them."""
        if not self.reports:
            return
        try:
            write(self.run.state, self.folder)
        except Exception as error:  # of any kind: they are pictures of a run that may have taken days
            self.console.say(f"  the report could not be written: {error!r}")


def take_step(pipeline: Pipeline) -> None:
    """Do what is still to be done of the step under way. Raises InputError, TrainingError and TimeIsUp."""
    step = pipeline.run.state.current
    pipeline.step_folder.mkdir(exist_ok=True)
    if step.sparse is None and pipeline.options.sparse_epochs:
        sparse_phase(pipeline, step)
    if step.pruned is None:
        cut_phase(pipeline, step)
    if step.finetuned is None:
        finetune_phase(pipeline)
    tuned, cut = step.finetuned, step.pruned
    step.result = "finetuned" if fitness(tuned.map50, tuned.map) >= fitness(cut.map50, cut.map) else "pruned"


def sparse_phase(pipeline: Pipeline, step: Step) -> None:
    """Train until the channels that are to go are at zero."""
    options = pipeline.options
    goal = step_goal(options, step)
    baseline = pipeline.run.state.start.map  # what the rules count from
    fade = GuardedFadeOut(goal, options.limits, options.std_guard, max_drop=options.max_drop, baseline=baseline)
    # Before the channels are gone a preview would cost time only; from then on it costs none.
    hooks = [fade, PreviewHook(goal, options.sparse_epochs, options.limits)]
    training = training_options(pipeline, TrainOptions, "sparse", weights=pipeline.newest, epochs=options.sparse_epochs)
    training_phase(pipeline, "sparse", training, hooks)
    measured_phase(pipeline, "sparse", RunFolder(pipeline.step_folder / FOLDERS["sparse"]).best_sparse)


def cut_phase(pipeline: Pipeline, step: Step) -> None:
    """Write the narrower network."""
    pipeline.run.enter("cut")
    sparse = step.sparse
    source = pipeline.folder / sparse.file if sparse else pipeline.newest
    task = pruning_task(pipeline.options, source, guarded=not pipeline.options.sparse_epochs)
    cut = make_cut(task, step_cut(step, task, score(task)))
    write_atomically(pipeline.step_folder / PRUNED, checkpoint_bytes(finished_content(cut.after)))
    measured_phase(pipeline, "pruned", pipeline.step_folder / PRUNED)


def finetune_phase(pipeline: Pipeline) -> None:
    """Train the narrower network further, with the start or --teacher as teacher."""
    options = pipeline.options
    teaching = {} if options.no_distill else {name: getattr(options, name) for name in TEACHING}
    if teaching:
        teaching["teacher"] = options.teacher or str(pipeline.folder / START)
    training = training_options(
        pipeline,
        FinetuneOptions,
        "finetune",
        weights=pipeline.step_folder / PRUNED,
        epochs=options.finetune_epochs,
        **teaching,
    )
    hooks = distillation_hooks(training, say=lambda line: None)
    training_phase(pipeline, "finetune", training, hooks)
    measured_phase(pipeline, "finetuned", RunFolder(pipeline.step_folder / FOLDERS["finetune"]).best)


def training_options(pipeline: Pipeline, kind: type[Options], phase: str, weights: Path, **more: Any) -> Options:
    """Return options of class `kind` for the training of a phase: those that SlimOptions have too, and more.

    Anchors stay: the network was trained with them, and the teacher has the same.
    """
    place = RunFolder(pipeline.step_folder / FOLDERS[phase])
    chosen = {key: getattr(pipeline.options, key) for key in TRAINING}
    return kind(
        weights=str(weights),
        hyp=str(pipeline.folder / HYP),
        project=str(pipeline.step_folder),
        name=place.path.name,
        exist_ok=True,
        noplots=True,
        noautoanchor=True,
        **chosen,
        **more,
    )


def training_phase(pipeline: Pipeline, name: str, options: TrainOptions, hooks: Sequence[Hook]) -> None:
    """Train as options say, or go on where that was interrupted, or do nothing when it was finished."""
    pipeline.run.enter(name, options.epochs)
    last = RunFolder(Path(options.project) / options.name).last
    if last.is_file():
        if load_checkpoint(last).finished:
            return
        options = type(options)(resume=str(last))  # which knows the rest
    pipeline.console.phase_begins(pipeline.run)
    pipeline.report(write_page)
    with pipeline.console.bar(pipeline.run) as move:

        def show(done, accuracy):
            """Move the bar and renew the page."""
            move(done, accuracy)
            pipeline.report(write_page)

        train(options, hooks=[*hooks, ProgressHook(pipeline.options, pipeline.run, show)], transfer=False, quiet=True)


def measured_phase(pipeline: Pipeline, key: str, file: Path) -> None:
    """Measure what a phase made, and say that it is over."""
    found = pipeline.evaluator.measure(file, pipeline.folder)
    pipeline.console.phase_ends(pipeline.run, found)
    pipeline.run.leave(key, found)
    pipeline.report(write_page)
