"""What accompanies the trainings of slim.py: slim.json and the bar follow every epoch, and the clock is watched."""

from utils.slimming.rules import time_over
from utils.training.loop import Hook


class TimeIsUp(Exception):
    """The time is up in a phase whose result is of no use half done."""


class Watch(Hook):
    """Notes every epoch; ends a training when --hours are over: fine-tuning as if it were done, others by TimeIsUp."""

    def __init__(self, options, record, show):
        """options: SlimOptions; record: Record in a phase; show: callable(epochs done, mAP50-95)."""
        self.options, self.record, self.show = options, record, show

    def after_validation(self, run):
        """Note the epoch, and look at the clock."""
        self.record.epoch_done(run.epoch + 1)
        self.show(run.epoch + 1, run.evaluation.map)
        reason = time_over(self.options, self.record)
        if reason and self.record.content["phase"]["name"] != "finetune":
            raise TimeIsUp(reason)
        run.stop = run.stop or bool(reason)
