"""When a step is undone, what is tried next, and when a run is over: numbers worked out by hand."""

import pytest

from utils.errors import InputError
from utils.slimming.options import SlimOptions
from utils.slimming.rules import broken, conclusion, next_share, over, reached, refuse_start, steps_to_go
from utils.slimming.state import Measurement, SlimRun, Step


def found(**values):
    """Return a Measurement, of the start unless values say otherwise."""
    usual = {
        "map": 0.5,
        "loss": 0.1,
        "gflops": 4.0,
        "parameters": 1000,
        "bytes": 4_000_000,
        "ms": 10.0,
        "goal_ms": 10.0,
    }
    return Measurement(**{"file": "a.pt", "map50": 0.7, "l1": {}, **usual, **values})


START = found()


def step(number, kept=True, attempt=1, share=0.5, **values):
    return Step(
        number, attempt, share, 0.5, finetuned=found(**values), result="finetuned", kept=kept, why="for the test"
    )


def slim_run(tmp_path, *steps, seconds=0.0):
    made = SlimRun.create(tmp_path, {}, "", START, clock=lambda: 0.0)
    made.state.steps, made.before = list(steps), seconds
    return made


@pytest.mark.parametrize(
    ("rule", "measured", "why"),
    [
        ({"max_drop": 0.01}, {"map": 0.49}, None),  # exactly as far as allowed
        ({"max_drop": 0.01}, {"map": 0.489}, "mAP50-95 0.4890 is 0.0110 below the start's, more than 0.01"),
        ({"max_drop": 0.01}, {"map": 0.6}, None),
        ({"min_map": 0.45}, {"map": 0.45}, None),
        ({"min_map": 0.45}, {"map": 0.449}, "mAP50-95 0.4490 is below 0.45"),
        ({"stop_loss": 0.2}, {"loss": 0.2}, None),
        ({"stop_loss": 0.2}, {"loss": 0.21}, "validation loss 0.21 is above 0.2"),
        ({"stop_loss": 0.2}, {"loss": None}, "validation loss None is above 0.2"),
        ({"flops": 0.5}, {"map": 0.0}, None),
    ],
)
def test_a_rule_is_broken(rule, measured, why):
    assert broken(SlimOptions(**rule), found(**measured), START) == why


@pytest.mark.parametrize(
    ("goal", "measured", "met"),
    [
        ({"flops": 0.5}, {"gflops": 2.0}, True),
        ({"flops": 0.5}, {"gflops": 2.03}, True),  # within 2 % of it
        ({"flops": 0.5}, {"gflops": 2.05}, False),
        ({"params": 0.25}, {"parameters": 250}, True),
        ({"params": 0.25}, {"parameters": 300}, False),
        ({"size_mb": 1.5}, {"bytes": 1_500_000}, True),
        ({"size_mb": 1.5}, {"bytes": 1_500_001}, False),
        ({"latency_ms": 4}, {"goal_ms": 4.0, "ms": 9.0}, True),  # what counts is the runtime that was asked for
        ({"latency_ms": 4}, {"goal_ms": 4.1, "ms": 1.0}, False),
        ({"max_drop": 0.1}, {"gflops": 0.1}, False),
    ],
)
def test_a_goal_is_reached(goal, measured, met):
    assert reached(SlimOptions(**goal), found(**measured), START) is met


def test_every_undone_attempt_halves_what_follows():
    options = SlimOptions(share=0.4)
    kept, undone = step(1, share=0.4), step(2, kept=False, share=0.4)
    assert next_share(options, []) == next_share(options, [kept]) == 0.4
    assert next_share(options, [kept, undone]) == 0.2
    assert next_share(options, [kept, undone, step(2, attempt=2, share=0.2)]) == 0.2
    # What the attempt really set out to do counts: here the goal was near.
    assert next_share(options, [step(1, kept=False, share=0.1)]) == 0.05


def test_the_goal_ends_a_run(tmp_path):
    reason = over(SlimOptions(flops=0.5), slim_run(tmp_path, step(1, gflops=2.0)))
    assert reason == "the goal is reached: 50.0% of the FLOPs"


def test_a_step_is_retried_as_often_as_allowed(tmp_path):
    undone = [step(1, kept=False, attempt=number, share=0.5 / 2 ** (number - 1)) for number in (1, 2, 3)]
    options = SlimOptions(max_drop=0.01, retries=2)
    assert over(options, slim_run(tmp_path, *undone[:2])) is None
    assert over(options, slim_run(tmp_path, *undone)) == "step 1 broke a rule in 3 attempts (for the test)"
    assert over(SlimOptions(max_drop=0.01, retries=0), slim_run(tmp_path, undone[0])).startswith(
        "step 1 broke a rule in its only"
    )


def test_tiny_steps_are_not_tried(tmp_path):
    reason = over(SlimOptions(max_drop=0.01, retries=9), slim_run(tmp_path, step(1, kept=False, share=0.03)))
    assert reason == "step 1 broke a rule, and less than 2% is no step (for the test)"


def test_steps_and_hours_end_a_run(tmp_path):
    assert over(SlimOptions(steps=2), slim_run(tmp_path, step(1))) is None
    # Attempts that were undone are not counted.
    assert over(SlimOptions(steps=2), slim_run(tmp_path, step(1), step(2, kept=False), step(2, attempt=2))) == (
        "--steps 2: as many are kept"
    )
    assert over(SlimOptions(hours=1), slim_run(tmp_path, seconds=3599)) is None
    assert over(SlimOptions(hours=1), slim_run(tmp_path, seconds=3600)) == "--hours 1: the time is up"


def test_how_many_steps_are_to_go(tmp_path):
    assert steps_to_go(SlimOptions(flops=0.25), slim_run(tmp_path)) == 2  # 1 → 0.5 → 0.25
    assert steps_to_go(SlimOptions(flops=0.2), slim_run(tmp_path)) == 3
    assert steps_to_go(SlimOptions(flops=0.25), slim_run(tmp_path, step(1, gflops=2.0))) == 1
    assert steps_to_go(SlimOptions(flops=0.25, steps=1), slim_run(tmp_path)) == 1
    assert steps_to_go(SlimOptions(max_drop=0.01), slim_run(tmp_path)) is None


def test_a_goal_that_was_missed_is_named(tmp_path):
    ended = slim_run(tmp_path, step(1, gflops=2.0))
    assert (
        conclusion(SlimOptions(flops=0.25), ended, "why")
        == "25.0% of the FLOPs not reached, 50.0% of the FLOPs is the best: why"
    )
    assert conclusion(SlimOptions(flops=0.5), ended, "why") == conclusion(SlimOptions(steps=1), ended, "why") == "why"


@pytest.mark.parametrize("rules", [{"flops": 1.0}, {"size_mb": 5}, {"min_map": 0.6}, {"stop_loss": 0.05}])
def test_a_start_that_met_the_goal_or_breaks_a_rule_is_refused(rules):
    with pytest.raises(InputError):
        refuse_start(SlimOptions(**rules), START)
    refuse_start(SlimOptions(flops=0.5, min_map=0.4, stop_loss=0.2), START)
