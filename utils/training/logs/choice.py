"""Which loggers a run has (--logger)."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from utils.errors import InputError
from utils.training.logs.clearml import ClearmlHook
from utils.training.logs.comet import CometHook
from utils.training.logs.mlflow import MlflowHook
from utils.training.logs.service import ServiceHook
from utils.training.logs.tensorboard import TensorBoardHook, summary_writer
from utils.training.logs.wandb import WandbHook
from utils.training.loop import Hook

SERVICES: tuple[type[ServiceHook], ...] = (MlflowHook, WandbHook, ClearmlHook, CometHook)


def check_loggers(names: Sequence[str], find: Callable[[str], object] = importlib.util.find_spec) -> None:
    """Raise InputError for a logger whose package is not installed; find: module name → None when it is not there.

    TensorBoard is what nobody asks for: where it is not installed, there are no such logs.
    """
    for kind in SERVICES:
        if kind.flag in names and find(kind.module) is None:
            raise InputError(f"--logger {kind.flag}: needs the Python package {kind.module}: pip install {kind.module}")


def make_loggers(names: Sequence[str], settings: dict[str, Any], graph: bool, say: Callable[[str], None]) -> list[Hook]:
    """Return the hooks of the loggers that --logger names.

    settings: plain values to show beside the numbers; graph: whether the network is drawn; say: takes a line.
    """
    hooks: list[Hook] = []
    if "tensorboard" in names and importlib.util.find_spec("tensorboard"):
        hooks.append(TensorBoardHook(summary_writer, graph))
    elif "tensorboard" in names:
        say("no TensorBoard logs: pip install tensorboard")
    return hooks + [kind(importlib.import_module(kind.module), settings) for kind in SERVICES if kind.flag in names]
