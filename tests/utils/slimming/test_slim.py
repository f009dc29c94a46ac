"""What the loop decides, with steps that find what the test says instead of training."""

from dataclasses import replace

import pytest

from utils.slimming.hooks import TimeIsUp
from utils.slimming.options import SlimOptions
from utils.slimming.slim import take_steps
from utils.slimming.state import Measurement, SlimRun
from utils.slimming.steps import Pipeline
from utils.slimming.terminal import Console, outcome
from utils.training.faults.setbacks import TrainingError

START = Measurement("start/start.pt", 0.7, 0.5, 0.1, parameters=1000, gflops=4.0, bytes=4_000_000, ms=10.0, l1={})


@pytest.fixture
def play(tmp_path):
    """Return the function that plays steps with the given mAPs (or errors) and returns (reason, SlimRun)."""

    def begin(maps, limit=1.0, **rules):
        maps = iter(maps)
        run = SlimRun.create(tmp_path, {}, "", START)
        options = SlimOptions(**rules)

        def take(pipeline):
            step, found = run.state.current, next(maps)
            if isinstance(found, Exception):
                raise found
            place = f"step{step.number}.{step.attempt}.pt"
            (tmp_path / place).write_text(place)
            step.finetuned = step.pruned = replace(START, map=found, gflops=4 * step.left, file=place)
            step.result = "finetuned"

        def plan(options, file, share, start):
            return (share, None) if share <= limit else None

        pipeline = Pipeline(options, run, None, Console(options), reports=False)
        return take_steps(pipeline, plan, take), run

    return begin


def course(run):
    return [(step.number, step.attempt, step.share, step.kept) for step in run.state.steps]


def test_steps_are_taken_until_the_goal_is_reached(play, tmp_path, capsys):
    reason, run = play([0.5, 0.49], flops=0.25, max_drop=0.02)
    assert reason == "the goal is reached: 25.0% of the FLOPs"
    assert course(run) == [(1, 1, 0.5, True), (2, 1, 0.5, True)]
    assert [step.left for step in run.state.steps] == [0.5, 0.25]
    assert run.state.delivered == 2 and (tmp_path / "slim.pt").read_text() == "step2.1.pt"
    assert outcome(run) == "mAP50-95 0.500 → 0.490 (0.010 lost, 2% of it)"
    said = capsys.readouterr().out
    assert (
        "step 1: 50.0% of the FLOPs go, 50.0% of the start's stay; about 2 steps to go; best so far: the start" in said
    )
    assert "best so far: step 1, 50.0% of the FLOPs, mAP50-95 0.5000" in said and "kept: the goal is reached" in said


def test_a_step_that_breaks_a_rule_is_undone_and_tried_smaller(play, tmp_path):
    reason, run = play([0.5, 0.3, 0.5, 0.3, 0.3, 0.3], max_drop=0.01)
    assert course(run) == [
        (1, 1, 0.5, True),
        (2, 1, 0.5, False),
        (2, 2, 0.25, True),
        (3, 1, 0.25, False),
        (3, 2, 0.125, False),
        (3, 3, 0.0625, False),
    ]
    assert reason == "step 3 broke a rule in 3 attempts (mAP50-95 0.3000 is 0.2000 below the start's, more than 0.01)"
    assert run.state.delivered == 2 and (tmp_path / "slim.pt").read_text() == "step2.2.pt"
    assert run.state.networks[-1].gflops == 4 * 0.5 * 0.75


def test_the_start_is_delivered_when_nothing_keeps_the_rules(play, tmp_path):
    _, run = play([0.1, 0.1], min_map=0.4, retries=1)
    assert run.state.delivered == 0 and run.state.networks == [START] and not (tmp_path / "slim.pt").exists()
    assert outcome(run) == "mAP50-95 0.500 → 0.500 (nothing lost)"


def test_a_failed_training_is_an_undone_step(play):
    reason, run = play([TrainingError("the loss is nan"), 0.5], steps=1)
    assert course(run) == [(1, 1, 0.5, False), (1, 2, 0.25, True)]
    assert run.state.steps[0].why == "a training failed: the loss is nan" and reason.startswith("--steps 1")


def test_no_more_can_be_cut(play):
    reason, run = play([], limit=0.1, steps=3)
    assert reason.startswith("no more can be cut with at least 8 channels") and run.state.steps == []


def test_the_time_is_up_within_a_step(play):
    reason, run = play([0.5, TimeIsUp("--hours 1: the time is up")], hours=1)
    assert reason == "--hours 1: the time is up" and len(run.state.steps) == 1


def test_a_report_that_fails_stops_nothing(tmp_path, capsys):
    options = SlimOptions(steps=1)
    pipeline = Pipeline(options, SlimRun.create(tmp_path, {}, "", START), None, Console(options))

    def broken(state, folder):
        raise ZeroDivisionError("in a chart")

    pipeline.report(broken)
    assert "ZeroDivisionError('in a chart')" in capsys.readouterr().out
