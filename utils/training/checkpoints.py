"""The checkpoints of a run: last.pt to go on from, best.pt to use."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

from utils.errors import InputError, readable
from utils.files.checkpoint import Checkpoint, finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import RunFolder
from utils.training.faults.resumed import check_state
from utils.training.loop import Hook
from utils.training.run import Run

COUNTS = ("step", "setbacks", "skipped")  # of RunState, that a resumed run needs


class CheckpointWriter:
    """Writes the checkpoints of a run after each epoch.

    last.pt holds all that is needed to go on exactly; after the last epoch, and best.pt always, only the moving average
    in FP16, as the public YOLOv5 ships finished weights.
    """

    def __init__(
        self,
        options: dict[str, Any],
        every_epoch: bool = True,
        period: int = 0,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        """options: plain dict, kept in the files; every_epoch False: last epoch only; period: epochN.pt too."""
        self.options, self.every_epoch, self.period, self.now = options, every_epoch, period, now

    def __call__(self, run, hooks):
        """Write what is due after run.epoch: last.pt last, so that what an interrupt leaves out is done again."""
        if not (self.every_epoch or run.last_epoch):
            return
        about = self.about(run)
        if run.improved or run.last_epoch:
            finished = finished_content(run.ema.model, **about)
        if run.improved:
            write_checkpoint(run, run.folder.best, finished)
        content = finished if run.last_epoch else unfinished_content(run, hooks, **about)
        if self.period > 0 and run.epoch % self.period == 0 and not run.last_epoch:
            write_checkpoint(run, run.folder.epoch_checkpoint(run.epoch), content)
        write_checkpoint(run, run.folder.last, content)

    def save_part(self, run: Run, hooks: Sequence[Hook]) -> None:
        """Write last.pt in the middle of an epoch, after a step."""
        if self.every_epoch:
            write_checkpoint(run, run.folder.last, unfinished_content(run, hooks, **self.about(run)))

    def about(self, run: Run) -> dict[str, Any]:
        """Return what all checkpoints say of their run."""
        return {"best_fitness": run.best_fitness, "opt": self.options, "date": self.now().isoformat()}


def write_checkpoint(run: Run, path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint of a run into its folder, which may hold those of an earlier one (--exist-ok)."""
    save_checkpoint(path, content)
    run.written.add(path)


def weights_to_use(run: Run) -> Path:
    """Return the checkpoint of a run that it ends with; best.pt may be of before the channels went."""
    candidates = run.folder.best_sparse, run.folder.best, run.folder.last
    return next(file for file in candidates if file in run.written)


def unfinished_content(run: Run, hooks: Sequence[Hook], **about: Any) -> dict[str, Any]:
    """Return the content of a checkpoint that `restore` continues from without any difference."""
    network = deepcopy(run.ema.model)  # plain classes, even where the model in training has synchronised batch norms
    network.load_state_dict(run.model.state_dict())
    hook_states = {type(hook).__name__: hook.state_dict() for hook in hooks}
    assert len(hook_states) == len(hooks), "two hooks of one class would share their state"
    counts = {name: getattr(run, name) for name in COUNTS}
    state = {**counts, "best_epoch": run.best_epoch, "scaler": run.scaler.state_dict(), "hooks": hook_states}
    if run.part:
        state["part"] = run.part
    return {
        "epoch": run.epoch,
        "model": network,
        "ema": run.ema.model,
        "updates": run.ema.updates,
        "optimizer": run.optimizer.state_dict(),
        "git": None,
        "state": state,
        **about,
    }


def resumed_checkpoint(path: str) -> Checkpoint:
    """Return the Checkpoint that an interrupted run left: unfinished, or finished but not validated as it was saved.

    Raises InputError when it is not one to go on from.
    """
    checkpoint = load_checkpoint(path)
    folder = RunFolder(Path(path).resolve().parent.parent)
    if checkpoint.finished and (folder.final_json.is_file() or Path(path).name != folder.last.name):
        raise InputError(f"{path}: this run is finished; to train further use --weights {path}")
    if not checkpoint.finished and (checkpoint.ema is None or not checkpoint.entries.get("state")):
        raise InputError(f"{path}: holds no state to resume from; use --weights {path}")
    return checkpoint


def restore(run: Run, checkpoint: Checkpoint, hooks: Sequence[Hook]) -> None:
    """Put a new Run, built around the checkpoint's model, and the hooks into the state that the checkpoint holds.

    Raises InputError when the state cannot be that of this run, and when the run had a hook with a state that is not
    among them: another script began it.
    """
    with readable(checkpoint.path, "state of a run"):
        check_state(checkpoint.path, run, checkpoint.entries)
        put_back(run, checkpoint, hooks)


def put_back(run: Run, checkpoint: Checkpoint, hooks: Sequence[Hook]) -> None:
    """Do what restore says with a state that was checked."""
    entries, state = checkpoint.entries, checkpoint.entries["state"]
    lacking = {name for name, kept in state["hooks"].items() if kept} - {type(hook).__name__ for hook in hooks}
    if lacking and run.processes.main:  # others have no recorders
        if "Distillation" in lacking:
            raise InputError(f"{checkpoint.path}: the run has a teacher, which is missing; put its file back to go on")
        script = "slim.py, with its own command" if "GuardedFadeOut" in lacking else "the script that began it"
        raise InputError(f"{checkpoint.path}: the run has a {min(lacking)}; go on with {script}")
    average: Any = checkpoint.ema
    run.ema.model.load_state_dict(average.state_dict())
    run.ema.updates = entries["updates"]
    run.optimizer.load_state_dict(entries["optimizer"])
    run.scaler.load_state_dict(state["scaler"])
    run.epoch = entries["epoch"] + 1
    if "part" in state:  # it was stopped within this epoch
        run.epoch, run.part = entries["epoch"], state["part"]
    for name in COUNTS:
        setattr(run, name, state.get(name, 0))  # older runs have fewer
    run.best_fitness, run.best_epoch = entries["best_fitness"], state["best_epoch"]
    run.written.update(run.folder.weights.iterdir())
    for hook in hooks:
        hook.load_state_dict(state["hooks"].get(type(hook).__name__, {}))
