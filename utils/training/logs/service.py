"""What the loggers share that people use beside TensorBoard: each is a library that sends numbers to a service."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from utils.errors import InputError, one_line
from utils.training.checkpoints import weights_to_use
from utils.training.loop import Hook, Run


class ServiceHook(Hook):
    """Sends the options, the numbers of each epoch and the weights to use to a service.

    A subclass says in open, log, keep and close how its library does that. A resumed run goes on in the same record. A
    service that fails before the training ends it; one that fails later is given up, and the training goes on.
    """

    flag: ClassVar[str]  # value of --logger
    module: ClassVar[str]  # what is imported

    def __init__(self, library: Any, settings: dict[str, Any]) -> None:
        """library: the imported module; settings: plain values to show beside the numbers."""
        self.library, self.settings = library, settings
        self.id: str | None = None  # of the record at the service
        self.lost = False

    def open(self, project: str, name: str) -> str:
        """Begin a record, or go on with that of self.id; return its id."""
        raise NotImplementedError

    def log(self, numbers: dict[str, float], epoch: int) -> None:
        """Send the numbers of an epoch."""
        raise NotImplementedError

    def keep(self, file: Path) -> None:
        """Send a checkpoint."""
        raise NotImplementedError

    def close(self) -> None:
        """End the record."""
        raise NotImplementedError

    def start(self, run: Run) -> None:
        """Open the record. Raises InputError when the service refuses."""
        path = run.folder.path.absolute()
        try:
            self.id = str(self.open(path.parent.name, path.name))
        except Exception as error:  # libraries raise anything
            raise InputError(f"--logger {self.flag}: {reason(error)}") from None

    def after_validation(self, run: Run) -> None:
        """Send what is finite of run.log."""
        self.attempt(self.log, {name: value for name, value in run.log.items() if math.isfinite(value)}, run.epoch)

    def finish(self, run: Run) -> None:
        """Send the weights to use, and close."""
        self.attempt(self.keep, weights_to_use(run))
        self.attempt(self.close)

    def attempt(self, action: Callable[..., None], *args: Any) -> None:
        """Do something at the service if it is there; give it up with one line when it fails."""
        if self.lost:
            return
        try:
            action(*args)
        except Exception as error:
            self.lost = True
            print(f"--logger {self.flag}: {reason(error)}; the run goes on without it", file=sys.stderr)

    def state_dict(self) -> dict[str, Any]:
        """Return the id of the record."""
        return {"id": self.id}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the id of the record."""
        self.id = state.get("id")


def reason(error: Exception) -> str:
    """Return what a library raised in one line."""
    return one_line((str(error).splitlines() or [""])[0] or type(error).__name__)
