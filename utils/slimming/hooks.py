"""The hook of slim.py's trainings: every epoch is noted and shown, and the time limit is kept."""

from collections.abc import Callable

from utils.slimming.options import SlimOptions
from utils.slimming.rules import time_over
from utils.slimming.state import SlimRun
from utils.training.loop import Hook, Run


class TimeIsUp(Exception):
    """The time is up in a phase whose result is of no use half done."""


class ProgressHook(Hook):
    """Notes every epoch; ends a training when --hours are over: fine-tuning as if it were done, others by TimeIsUp."""

    def __init__(self, options: SlimOptions, slim_run: SlimRun, show: Callable[[int, float], None]) -> None:
        """slim_run: within a phase; show: called with the epochs done and the mAP50-95."""
        self.options, self.slim_run, self.show = options, slim_run, show

    def after_validation(self, run: Run) -> None:
        """Note the epoch, and look at the clock."""
        self.slim_run.epoch_done(run.epoch + 1)
        self.show(run.epoch + 1, run.evaluation.map)
        reason = time_over(self.options, self.slim_run)
        if reason and self.slim_run.state.phase.name != "finetune":
            raise TimeIsUp(reason)
        run.stop = run.stop or bool(reason)
