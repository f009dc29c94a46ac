"""What accompanies the trainings: every epoch is noted, and the time is kept."""

import json
from types import SimpleNamespace

import pytest

from utils.slimming.hooks import ProgressHook, TimeIsUp
from utils.slimming.options import SlimOptions
from utils.slimming.state import FILE, SlimRun, Step
from utils.slimming.terminal import seconds_to_go


class Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def entered(tmp_path, clock, measurements):
    """The function that returns a run within a phase of its first step."""

    def enter(phase, epochs):
        run = SlimRun.create(tmp_path, {}, "", measurements(), clock)
        run.begin_step(Step(1, 1, 0.5, 0.5))
        run.enter(phase, epochs)
        return run

    return enter


def epoch(number):
    return SimpleNamespace(epoch=number, stop=False, evaluation=SimpleNamespace(map=0.4))


def test_every_epoch_is_written_and_shown(tmp_path, clock, entered):
    shown = []
    hook = ProgressHook(SlimOptions(steps=1), entered("sparse", 5), lambda *args: shown.append(args))
    hook.after_validation(epoch(2))
    assert json.loads((tmp_path / FILE).read_text())["phase"]["epoch"] == 3 and shown == [(3, 0.4)]


def test_fine_tuning_ends_early_when_the_time_is_up(tmp_path, clock, entered):
    hook = ProgressHook(SlimOptions(hours=1), entered("finetune", 5), lambda *args: None)
    run = epoch(0)
    clock.now = 3599
    hook.after_validation(run)
    assert not run.stop
    clock.now = 3600
    hook.after_validation(run)
    assert run.stop


def test_sparse_training_is_given_up_when_the_time_is_up(tmp_path, clock, entered):
    hook = ProgressHook(SlimOptions(hours=1), entered("sparse", 5), lambda *args: None)
    clock.now = 3600
    with pytest.raises(TimeIsUp, match="--hours 1: the time is up"):
        hook.after_validation(epoch(0))


def test_the_time_to_go_follows_from_the_epochs_done(tmp_path, clock, entered):
    options, run = SlimOptions(steps=2, sparse_epochs=10, finetune_epochs=5), entered("sparse", 10)
    assert seconds_to_go(options, run, 2) is None
    clock.now = 8
    run.epoch_done(4)  # 2 seconds each: 6 + 5 epochs of this step, 15 of the next one
    assert seconds_to_go(options, run, 1) == 22 and seconds_to_go(options, run, 2) == 52
    done = {"sparse": 70.0, "cut": 1.0, "finetune": 29.0}
    run.state.steps = [Step(1, 1, 0.5, 0.5, finetuned=run.state.start, seconds=done, kept=True)]
    assert seconds_to_go(options, run, 2) == 122  # the next step takes as long as the finished one
