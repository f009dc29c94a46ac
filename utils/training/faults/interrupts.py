"""SIGINT and SIGTERM during a training: the step is finished and all is saved; the run resumes behind that step."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from utils.errors import Terminated
from utils.training.loop import Hook
from utils.training.run import Run

STOPPING = b"\nstopping after this step; once more stops at once\n"
EXCEPTIONS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


class Interrupts(Hook):
    """Ends the run at the end of a step when a signal asks for it. The last hook: all others have done their part.

    Outside the steps, in a validation, the end comes after the epoch's checkpoint.
    """

    def __init__(self, save: Callable[[Run], object]) -> None:
        """save: writes a checkpoint to go on from, in the middle of an epoch."""
        self.save, self.signal, self.stepped = save, 0, False

    @contextmanager
    def watching(self, wanted: bool = True) -> Iterator[None]:
        """Let signals wait for the end of a step while the body runs; without effect outside the main thread.

        wanted: False leaves them as they are. One of several processes must not stop at a step of its own choice.
        """
        if not wanted or threading.current_thread() is not threading.main_thread():
            yield
            return
        self.process = os.getpid()
        before = {number: signal.signal(number, self.receive) for number in EXCEPTIONS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def receive(self, number: int, _: object) -> None:
        """Take a signal: the first one waits, the second one does not."""
        if os.getpid() != self.process:  # a process that loads images: it is needed for the rest of the step
            return
        if self.signal:
            raise EXCEPTIONS[number]
        self.signal = number
        os.write(2, STOPPING)

    def stop_if_asked(self) -> None:
        """Raise what the signal stands for, if one came."""
        if self.signal:
            raise EXCEPTIONS[self.signal]

    def before_epoch(self, run: Run) -> None:
        """End between two epochs, and before the first."""
        self.stepped = False
        self.stop_if_asked()

    def after_step(self, run: Run) -> None:
        """Note that no gradient waits."""
        self.stepped = True

    def after_batch(self, run: Run, images: torch.Tensor, targets: torch.Tensor, paths: Sequence[str]) -> None:
        """End after a step, with a checkpoint."""
        if self.stepped and self.signal:
            run.part = {
                "first_batch": run.batch.index + 1,
                "losses": run.losses,
                "counted": run.counted,
                "log": run.log,
            }
            self.save(run)
            self.stop_if_asked()
        self.stepped = False

    def finish(self, run: Run) -> None:
        """End before the conclusion."""
        self.stop_if_asked()


def kept_line(run: Run) -> str:
    """Return in words what of an interrupted run is kept."""
    epochs = [f"epochs 0 to {run.epoch - 1}"] if run.epoch else []
    batches = [f"{run.part['first_batch']} of {run.schedule.batches} batches of epoch {run.epoch}"] if run.part else []
    return " and ".join(epochs + batches)
