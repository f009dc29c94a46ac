"""The phases of a step: sparse training, the cut, fine-tuning, each measured; what is done is not done again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.boxes.metrics import fitness
from utils.errors import InputError
from utils.files.atomic import write_atomically
from utils.files.checkpoint import checkpoint_bytes, finished_content, load_checkpoint
from utils.files.paths import RunFolder
from utils.pruning.pipeline import make_cut, score
from utils.pruning.recipe import Recipe
from utils.slimming.evaluator import CheckpointEvaluator
from utils.slimming.hooks import ProgressHook
from utils.slimming.options import TEACHING, TRAINING, SlimOptions
from utils.slimming.planning import chosen_recipe, pruning_task, step_cut, step_goal
from utils.slimming.report.write import write_page, write_report
from utils.slimming.state import Measurement, SlimRun, SlimState, Step
from utils.slimming.terminal import Console
from utils.sparsity.at_once import FINDS_NOTHING, KEPT
from utils.sparsity.guard import GuardedFadeOut
from utils.sparsity.preview import PreviewHook
from utils.teaching.hooks import teaching_hooks
from utils.teaching.options import NONE, TeachingOptions
from utils.training.loop import Hook
from utils.training.train import train

START = Path("start", "start.pt")
HYP = "hyp.yaml"
PRUNED = "pruned.pt"
AT_ONCE = "cut-at-once.pt"
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
    training = taught_options(pipeline, "sparse", pipeline.newest, options.sparse_epochs)
    training_phase(pipeline, "sparse", training, hooks)
    measured_phase(pipeline, "sparse", RunFolder(pipeline.step_folder / FOLDERS["sparse"]).best_sparse)


def cut_phase(pipeline: Pipeline, step: Step) -> None:
    """Write the narrower network: cut from what sparse training left, or at once where that keeps more."""
    pipeline.run.enter("cut")
    options, sparse = pipeline.options, step.sparse
    source = pipeline.folder / sparse.file if sparse else pipeline.newest
    recipe = chosen_recipe(options, guarded=not options.sparse_epochs)
    found = cut_and_measure(pipeline, step, source, recipe, PRUNED)
    before = pipeline.run.state.networks[-1].map
    if sparse and before > FINDS_NOTHING and found.map < KEPT * before:
        found = better_at_once(pipeline, step, found)
    end_phase(pipeline, "pruned", found)


def cut_and_measure(pipeline: Pipeline, step: Step, source: Path, recipe: Recipe, name: str) -> Measurement:
    """Cut a checkpoint as the step wants it, write the result under a name in its folder, and measure it."""
    task = pruning_task(pipeline.options, source, recipe)
    cut = make_cut(task, step_cut(step, task, score(task)))
    write_atomically(pipeline.step_folder / name, checkpoint_bytes(finished_content(cut.after)))
    return pipeline.evaluator.measure(pipeline.step_folder / name, pipeline.folder)


def better_at_once(pipeline: Pipeline, step: Step, found: Measurement) -> Measurement:
    """Return the better of the cut after sparse training and one of as much without it, its weights refitted.

    A few optimizer steps may be too few to teach what the faded channels did; least squares then does better.
    """
    try:
        other = cut_and_measure(pipeline, step, pipeline.newest, chosen_recipe(pipeline.options).untrained, AT_ONCE)
    except InputError as error:
        pipeline.console.say(f"  a cut at once was not tried: {error}")
        return found
    better = fitness(other.map50, other.map) > fitness(found.map50, found.map)
    pipeline.console.say(
        f"  a cut at once, without the sparse training, weights refitted: mAP50-95 {other.map:.4f} against "
        f"{found.map:.4f} after it; {'it is taken' if better else 'the latter stays'}"
    )
    return other if better else found


def finetune_phase(pipeline: Pipeline) -> None:
    """Train the narrower network further."""
    weights = pipeline.folder / pipeline.run.state.current.pruned.file
    training = taught_options(pipeline, "finetune", weights, pipeline.options.finetune_epochs)
    training_phase(pipeline, "finetune", training)
    measured_phase(pipeline, "finetuned", RunFolder(pipeline.step_folder / FOLDERS["finetune"]).best)


def taught_options(pipeline: Pipeline, phase: str, weights: Path, epochs: int) -> TeachingOptions:
    """Return the options for the training of a phase: those that SlimOptions have too; the start or --teacher teaches.

    Anchors stay: the network was trained with them, and the teacher has the same.
    """
    place, options = RunFolder(pipeline.step_folder / FOLDERS[phase]), pipeline.options
    chosen = {key: getattr(options, key) for key in (*TRAINING, *(() if options.no_distill else TEACHING))}
    teacher = NONE if options.no_distill else options.teacher or str(pipeline.folder / START)
    chosen |= {"teacher": teacher, "weights": str(weights), "epochs": epochs, "hyp": str(pipeline.folder / HYP)}
    return TeachingOptions(
        project=str(pipeline.step_folder),
        name=place.path.name,
        exist_ok=True,
        noplots=True,
        noautoanchor=True,
        **chosen,
    )


def training_phase(pipeline: Pipeline, name: str, options: TeachingOptions, hooks: Sequence[Hook] = ()) -> None:
    """Train as options say, or go on where that was interrupted, or do nothing when it was finished."""
    pipeline.run.enter(name, options.epochs)
    last = RunFolder(Path(options.project) / options.name).last
    if last.is_file():
        if load_checkpoint(last).finished:
            return
        options = TeachingOptions(resume=str(last))  # which knows the rest
    pipeline.console.phase_begins(pipeline.run)
    pipeline.report(write_page)
    with pipeline.console.bar(pipeline.run) as move:

        def show(done, accuracy):
            """Move the bar and renew the page."""
            move(done, accuracy)
            pipeline.report(write_page)

        hooks = [*hooks, ProgressHook(pipeline.options, pipeline.run, show)]
        train(options, hooks=hooks, make_hooks=teaching_hooks, transfer=False, quiet=True)


def measured_phase(pipeline: Pipeline, key: str, file: Path) -> None:
    """Measure what a phase made, and say that it is over."""
    end_phase(pipeline, key, pipeline.evaluator.measure(file, pipeline.folder))


def end_phase(pipeline: Pipeline, key: str, found: Measurement) -> None:
    """Note what a phase made, and say that it is over."""
    pipeline.console.phase_ends(pipeline.run, found)
    pipeline.run.leave(key, found)
    pipeline.report(write_page)
