"""One step of slim.py: sparse training, the cut, fine-tuning, each measured; what is done is not done again."""

from dataclasses import dataclass
from pathlib import Path

from utils.boxes.metrics import fitness
from utils.files.atomic import write_atomically
from utils.files.checkpoint import checkpoint_bytes, finished_content, load_checkpoint
from utils.files.paths import RunFolder
from utils.finetuning.finetune import FinetuneOptions, distillation_hooks
from utils.pruning.prune import make_cut, read, score
from utils.slimming.gauge import Gauge
from utils.slimming.options import TEACHING, TRAINING, SlimOptions
from utils.slimming.planning import cut_options, step_cut, step_goal
from utils.slimming.report.write import write_page, write_report
from utils.slimming.state import Record
from utils.slimming.terminal import Display
from utils.slimming.watch import Watch
from utils.sparsity.guard import GuardedFadeOut
from utils.sparsity.preview import PreviewHook
from utils.training.train import TrainOptions, train

START = Path("start", "start.pt")
HYP = "hyp.yaml"
PRUNED = "pruned.pt"
FOLDERS = {"sparse": "sparse", "finetune": "finetuned"}  # phase → folder of its training


@dataclass(frozen=True)
class Work:
    """What the steps of a run work with."""

    options: SlimOptions
    record: Record
    gauge: Gauge
    display: Display

    @property
    def folder(self):
        """Folder of the run."""
        return self.record.folder

    @property
    def place(self):
        """Folder of the step under way."""
        step = self.record.current
        again = f".{step['attempt']}" if step["attempt"] > 1 else ""
        return self.folder / f"step{step['number']}{again}"

    @property
    def begins_with(self):
        """Checkpoint that the step under way begins with."""
        return self.folder / self.record.points[-1]["file"]

    def report(self, write=write_report):
        """Write charts and page, or with write_page the page alone. The run goes on whatever goes wrong with them."""
        try:
            write(self.record.content, self.folder)
        except Exception as error:  # of any kind: they are pictures of a run that may have taken days
            self.display.say(f"  the report could not be written: {error!r}")


def take_step(work):
    """Do what is still to be done of the step under way. Raises InputError, TrainingError and TimeIsUp."""
    step = work.record.current
    work.place.mkdir(exist_ok=True)
    if step["sparse"] is None and work.options.sparse_epochs:
        sparse_phase(work, step)
    if step["pruned"] is None:
        cut_phase(work, step)
    if step["finetuned"] is None:
        finetune_phase(work)
    step["result"] = max(("finetuned", "pruned"), key=lambda name: fitness(step[name]["map50"], step[name]["map"]))


def sparse_phase(work, step):
    """Train until the channels that are to go are at zero."""
    options = work.options
    goal = step_goal(options, step)
    baseline = work.record.points[0]["map"]  # what the rules count from
    fade = GuardedFadeOut(goal, options.limits, options.std_guard, max_drop=options.max_drop, baseline=baseline)
    # Before the channels are gone a preview would cost time only; from then on it costs none.
    hooks = [fade, PreviewHook(goal, options.sparse_epochs, options.limits)]
    training = training_options(work, TrainOptions, "sparse", weights=work.begins_with, epochs=options.sparse_epochs)
    training_phase(work, "sparse", training, hooks)
    measured_phase(work, "sparse", RunFolder(work.place / FOLDERS["sparse"]).best_sparse)


def cut_phase(work, step):
    """Write the narrower network."""
    work.record.enter("cut")
    sparse = step["sparse"]
    source = work.folder / sparse["file"] if sparse else work.begins_with
    job = read(cut_options(work.options, source, 1 - step["share"]))
    cut = make_cut(job, step_cut(step, job, score(job)))
    write_atomically(work.place / PRUNED, checkpoint_bytes(finished_content(cut.after)))
    measured_phase(work, "pruned", work.place / PRUNED)


def finetune_phase(work):
    """Train the narrower network further, with the start or --teacher as teacher."""
    options = work.options
    teaching = {} if options.no_distill else {name: getattr(options, name) for name in TEACHING}
    if teaching:
        teaching["teacher"] = options.teacher or str(work.folder / START)
    training = training_options(
        work, FinetuneOptions, "finetune", weights=work.place / PRUNED, epochs=options.finetune_epochs, **teaching
    )
    hooks = distillation_hooks(training, say=lambda line: None)
    training_phase(work, "finetune", training, hooks)
    measured_phase(work, "finetuned", RunFolder(work.place / FOLDERS["finetune"]).best)


def training_options(work, kind, phase, weights, **more):
    """Return options of class `kind` for the training of a phase: those that SlimOptions have too, and more.

    Anchors stay: the network was trained with them, and the teacher has the same.
    """
    place = RunFolder(work.place / FOLDERS[phase])
    chosen = {key: getattr(work.options, key) for key in TRAINING}
    return kind(
        weights=str(weights),
        hyp=str(work.folder / HYP),
        project=str(work.place),
        name=place.path.name,
        exist_ok=True,
        noplots=True,
        noautoanchor=True,
        **chosen,
        **more,
    )


def training_phase(work, name, options, hooks):
    """Train as options say, or go on where that was interrupted, or do nothing when it was finished."""
    work.record.enter(name, options.epochs)
    last = RunFolder(Path(options.project) / options.name).last
    if last.is_file():
        if load_checkpoint(last).entries.get("epoch", -1) == -1:
            return
        options = type(options)(resume=str(last))  # which knows the rest
    work.display.phase_begins(work.record)
    work.report(write_page)
    with work.display.bar(work.record) as move:

        def show(done, accuracy):
            move(done, accuracy)
            work.report(write_page)

        train(options, hooks=[*hooks, Watch(work.options, work.record, show)], transfer=False, quiet=True)


def measured_phase(work, key, file):
    """Measure what a phase made, and say that it is over."""
    found = work.gauge(file, work.folder)
    work.display.phase_ends(work.record, found)
    work.record.leave(**{key: found})
    work.report(write_page)
