"""The state of a run to resume, held against the run before anything of it is used: a file can say anything."""

import math
from typing import Any

import torch

from models.errors import shown
from utils.errors import InputError
from utils.training.run import Run


def check_state(path: object, run: Run, entries: dict[str, Any]) -> None:
    """Raise InputError that names the key when the entries of a checkpoint cannot be the state of a Run.

    path: of the checkpoint; entries: of utils.files.checkpoint.Checkpoint. What hooks keep, they judge themselves.
    """
    state, place = entries["state"], f"{path}: state to resume from"
    require(isinstance(state, dict), place, "state", state, "a mapping")
    whole(place, "epoch", entries.get("epoch"), run.epochs - 1)
    whole(place, "updates", entries.get("updates"))
    for key in ("step", "best_epoch", "setbacks", "skipped"):
        whole(place, key, state.get(key, 0))
    require(finite(entries.get("best_fitness")), place, "best_fitness", entries.get("best_fitness"), "a finite number")
    for key in ("hooks", "scaler"):
        kept = state.get(key)
        require(isinstance(kept, dict), place, key, kept, "a mapping")
    require(all(isinstance(kept, dict) for kept in state["hooks"].values()), place, "hooks", state["hooks"], "mappings")
    check_optimizer(place, run.optimizer, entries.get("optimizer"))
    if "part" in state:
        check_part(place, run, state["part"])


def check_optimizer(place: str, optimizer: torch.optim.Optimizer, kept: Any) -> None:
    """Raise InputError when a kept state is none of this optimizer: groups, values and the shapes of its tensors."""
    right = (
        isinstance(kept, dict) and isinstance(kept.get("state"), dict) and isinstance(kept.get("param_groups"), list)
    )
    require(right, place, "optimizer", kept, "state and param_groups")
    own = optimizer.state_dict()
    require(
        len(kept["param_groups"]) == len(own["param_groups"]), place, "param_groups", kept["param_groups"], "as many"
    )
    for group, like in zip(kept["param_groups"], own["param_groups"]):
        require(isinstance(group, dict) and group.keys() >= like.keys(), place, "param_groups", group, "complete")
        for key, value in like.items():
            found = group[key]
            same = found == value if key == "params" else similar(found, value)
            require(same, place, f"param_groups.{key}", found, f"like {shown(value)}")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, values in kept["state"].items():
        require(index in range(len(parameters)), place, "optimizer.state", index, "the number of a parameter")
        require(isinstance(values, dict), place, f"optimizer.state.{index}", values, "a mapping")
        for key, value in values.items():
            wanted = (torch.Size([]), parameters[index].shape)
            right = value is None or (
                value.shape in wanted and bool(torch.isfinite(value).all())
                if isinstance(value, torch.Tensor)
                else finite(value)
            )
            require(right, place, f"optimizer.state.{index}.{key}", value, "finite, of its parameter's shape")


def check_part(place: str, run: Run, part: Any) -> None:
    """Raise InputError when this cannot be how far a run was within an epoch."""
    require(isinstance(part, dict), place, "part", part, "a mapping")
    whole(place, "part.first_batch", part.get("first_batch"), run.schedule.batches)
    whole(place, "part.counted", part.get("counted"), run.schedule.batches)
    losses, log = part.get("losses"), part.get("log")
    right = isinstance(losses, torch.Tensor) and losses.shape == (3,) and losses.is_floating_point()
    require(right, place, "part.losses", losses, "three numbers")
    right = isinstance(log, dict) and all(isinstance(k, str) and finite(v) for k, v in log.items())
    require(right, place, "part.log", log, "numbers by name")


def whole(place: str, key: str, value: Any, most: int | None = None) -> None:
    """Raise InputError for anything but a whole number from 0 to `most`."""
    right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= (2**53 if most is None else most)
    require(right, place, key, value, f"a whole number from 0{'' if most is None else f' to {most}'}")


def finite(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def similar(value: Any, like: Any) -> bool:
    """Tell whether a value is of the kind of another one: a finite number for a number, else the same type."""
    return finite(value) if finite(like) else type(value) is type(like) and not isinstance(value, dict)


def require(right: bool, place: str, key: str, value: Any, what: str) -> None:
    """Raise InputError when a value is not right; what: what it must be."""
    if not right:
        raise InputError(f"{place}: {key}: {shown(value)} must be {what}")
