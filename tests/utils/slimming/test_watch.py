"""What accompanies the trainings: every epoch is noted, and the time is kept."""

import json
from types import SimpleNamespace

import pytest

from utils.slimming.options import SlimOptions
from utils.slimming.state import FILE, Record
from utils.slimming.terminal import seconds_to_go
from utils.slimming.watch import TimeIsUp, Watch


class Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def entered(tmp_path, clock, phase, epochs):
    record = Record.create(tmp_path, {}, "", {"map": 0.5}, clock)
    record.content["current"] = {"number": 1, "attempt": 1, "seconds": {}}
    record.enter(phase, epochs)
    return record


def epoch(number):
    return SimpleNamespace(epoch=number, stop=False, evaluation=SimpleNamespace(map=0.4))


def test_every_epoch_is_written_and_shown(tmp_path, clock):
    shown = []
    watch = Watch(SlimOptions(steps=1), entered(tmp_path, clock, "sparse", 5), lambda *args: shown.append(args))
    watch.after_validation(epoch(2))
    assert json.loads((tmp_path / FILE).read_text())["phase"]["epoch"] == 3 and shown == [(3, 0.4)]


def test_fine_tuning_ends_early_when_the_time_is_up(tmp_path, clock):
    watch = Watch(SlimOptions(hours=1), entered(tmp_path, clock, "finetune", 5), lambda *args: None)
    run = epoch(0)
    clock.now = 3599
    watch.after_validation(run)
    assert not run.stop
    clock.now = 3600
    watch.after_validation(run)
    assert run.stop


def test_sparse_training_is_given_up_when_the_time_is_up(tmp_path, clock):
    watch = Watch(SlimOptions(hours=1), entered(tmp_path, clock, "sparse", 5), lambda *args: None)
    clock.now = 3600
    with pytest.raises(TimeIsUp, match="--hours 1: the time is up"):
        watch.after_validation(epoch(0))


def test_the_time_to_go_follows_from_the_epochs_done(tmp_path, clock):
    options, record = SlimOptions(steps=2, sparse_epochs=10, finetune_epochs=5), entered(tmp_path, clock, "sparse", 10)
    assert seconds_to_go(options, record, 2) is None
    clock.now = 8
    record.epoch_done(4)  # 2 seconds each: 6 + 5 epochs of this step, 15 of the next one
    assert seconds_to_go(options, record, 1) == 22 and seconds_to_go(options, record, 2) == 52
    record.content["steps"] = [{"finetuned": {"map": 0.4}, "seconds": {"sparse": 70.0, "cut": 1.0, "finetune": 29.0}}]
    assert seconds_to_go(options, record, 2) == 122  # the next step takes as long as the finished one
