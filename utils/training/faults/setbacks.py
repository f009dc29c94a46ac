"""Numbers that are not finite: steps that are left out, and epochs that begin anew at a lower learning rate."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from utils.errors import InputError
from utils.training.run import Run

SKIPS = 3  # steps in a row that may be left out
SETBACKS = 3  # times in a run that it may be set back
SKIPPED = "x/skipped_steps"  # in run.log
ADVICE = "Try a smaller lr0 in the hyp file, or --amp off"


class TrainingError(InputError):
    """Training cannot go on, and what was saved before stays."""


class SetBack(Exception):
    """The epoch must begin anew: the text says where and why."""


class Buffers:
    """The buffers of a network, such as batch norm statistics, and how they were when all was finite."""

    def __init__(self, model: nn.Module) -> None:
        self.own = list(model.buffers())
        self.kept = [buffer.clone() for buffer in self.own]

    def keep(self) -> None:
        """Remember them as they are."""
        torch._foreach_copy_(self.kept, self.own)

    def put_back(self) -> None:
        """Make them what they were."""
        torch._foreach_copy_(self.own, self.kept)


class Snapshot:
    """What changes within an epoch, as it was at its start; in the main memory."""

    def __init__(self, run: Run, hooks: Sequence[Any]) -> None:
        self.state = copied(whole_state(run, hooks))

    def restore(self, run: Run, hooks: Sequence[Any]) -> None:
        """Put the run and its hooks back."""
        state = deepcopy(self.state)  # what takes it over may go on to change it
        run.model.load_state_dict(state["model"])
        run.ema.model.load_state_dict(state["average"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.scaler.load_state_dict(state["scaler"])
        run.ema.updates, run.step = state["updates"], state["step"]
        for hook, kept in zip(hooks, state["hooks"], strict=True):
            hook.load_state_dict(kept)


def whole_state(run: Run, hooks: Sequence[Any]) -> dict[str, Any]:
    """Return what changes within an epoch; the values themselves, no copies."""
    return {
        "model": run.model.state_dict(),
        "average": run.ema.model.state_dict(),
        "updates": run.ema.updates,
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "step": run.step,
        "hooks": [hook.state_dict() for hook in hooks],
    }


def copied(value: Any) -> Any:
    """Return a deep copy of dicts, lists and what is in them, with tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [copied(each) for each in value]
    return deepcopy(value)


def weights_finite(model: nn.Module) -> bool:
    """Tell whether all weights are finite (gammas are among them)."""
    return bool(torch.isfinite(torch.stack(torch._foreach_norm(list(model.parameters())))).all())


def count_skipped(run: Run, reason: str) -> None:
    """Count a step that was left out. Raises SetBack when there were too many in a row."""
    run.skipped += 1
    run.log[SKIPPED] = run.log.get(SKIPPED, 0) + 1
    if run.skipped > SKIPS:
        raise SetBack(f"{run.place}: {reason}, {run.skipped} steps in a row")


def say_skipped(run: Run) -> None:
    """Say how many steps of an epoch were left out, if any."""
    if SKIPPED in run.log:
        run.say(f"epoch {run.epoch}: {run.log[SKIPPED]} optimizer steps left out; a loss or gradient was not finite")


def set_back(run: Run, hooks: Sequence[Any], snapshot: Snapshot, problem: SetBack) -> None:
    """Let the epoch begin anew, at a lower learning rate. Raises TrainingError when that was done often enough."""
    if run.setbacks == SETBACKS:
        rate = f"{run.rate_factor:g} of the learning rate"
        raise TrainingError(f"{problem}, even at {rate}; the last checkpoint stays. {ADVICE}")
    snapshot.restore(run, hooks)
    run.setbacks, run.skipped = run.setbacks + 1, 0
    run.say(
        f"{problem}; the epoch begins anew at {run.rate_factor:g} of the learning rate "
        f"({run.setbacks} of at most {SETBACKS} times)"
    )
