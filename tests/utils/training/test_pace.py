"""Which optimizer a run gets that names none."""

import pytest

from utils.training.distributed import ProcessGroup
from utils.training.options import TrainOptions
from utils.training.pace import (
    ENOUGH_STEPS,
    MANY_STEPS,
    SHORT,
    SMALLEST_BATCH,
    Pace,
    adamw_rates,
    fitting_pace,
    settle_pace,
)
from utils.training.plan import Plan

HYP = {"lr0": 0.01, "lrf": 0.01, "warmup_bias_lr": 0.1}


def settled(images, hyp=HYP, **options):
    said = []
    plan = Plan(TrainOptions(**options), hyp, None, ProcessGroup(), None)
    object.__setattr__(plan, "say", said.append)
    plan = settle_pace(plan, images)
    chosen = plan.options
    return Pace(chosen.optimizer, chosen.batch_size, chosen.nominal_batch), plan.hyp, said


def test_few_steps_are_taken_by_adamw_after_smaller_batches():
    pace, hyp, said = settled(160, optimizer="auto", epochs=60, batch_size=16)
    assert pace == Pace("AdamW", 4, 4)
    assert hyp == {"lr0": 0.001, "lrf": 0.01, "warmup_bias_lr": 0.001}
    assert said == [
        "steps: about 2,400 of 4 images by AdamW, in batches of 4 instead of 16, because 150 of 64 are few for SGD"
    ]


def test_batches_that_need_not_be_smaller_are_not_spoken_of():
    pace, _, said = settled(1000, optimizer="auto", epochs=60, batch_size=16)
    assert pace == Pace("AdamW", 16, 16)
    assert said == ["steps: about 3,750 of 16 images by AdamW, because 937 of 64 are few for SGD"]


def test_many_steps_are_sgds():
    images = 64 * MANY_STEPS // 100
    assert settled(images, optimizer="auto", epochs=100, batch_size=16) == (Pace("SGD", 16, 64), HYP, [])
    assert settled(images - 1, optimizer="auto", epochs=100, batch_size=16)[0].optimizer == "AdamW"


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_named_optimizer_stays_with_its_rates_and_batches(name):
    assert settled(10, optimizer=name, epochs=60) == (Pace(name, 16, 64), HYP, [])
    assert settled(10, optimizer=name, epochs=60, nominal_batch=32)[0] == Pace(name, 16, 32)


def test_a_given_nominal_batch_stays_and_so_do_the_batches():
    assert settled(10, optimizer="auto", epochs=60, nominal_batch=48)[0] == Pace("AdamW", 16, 48)


@pytest.mark.parametrize(
    "seen, batch_size, batch, nominal",
    [
        (1, 16, SMALLEST_BATCH, SMALLEST_BATCH),
        (6 * ENOUGH_STEPS - 1, 16, 5, 5),
        (6 * ENOUGH_STEPS, 16, 6, 6),
        (16 * ENOUGH_STEPS, 16, 16, 16),
        (32 * ENOUGH_STEPS - 1, 16, 16, 16),
        (32 * ENOUGH_STEPS, 16, 16, 32),
        (64 * ENOUGH_STEPS, 16, 16, 64),
        (150 * ENOUGH_STEPS, 16, 16, 64),
        (1, 2, 2, 2),
        (1, 64, SMALLEST_BATCH, SMALLEST_BATCH),
        (100 * ENOUGH_STEPS, 100, 100, 64),
        (8 * ENOUGH_STEPS, 4, 4, 8),
    ],
)
def test_steps_are_as_small_as_it_takes_to_have_enough(seen, batch_size, batch, nominal):
    assert fitting_pace(seen, batch_size) == Pace("AdamW", batch, nominal)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [6, 12, 48])
def test_processes_share_a_batch_evenly(processes, batch_size):
    for seen in range(0, 60 * ENOUGH_STEPS, 777):
        pace = fitting_pace(seen, batch_size, processes)
        assert pace.batch_size % processes == 0 and pace.batch_size <= batch_size
        assert pace.batch_size >= min(SMALLEST_BATCH * processes, batch_size)


@pytest.mark.parametrize(
    "steps, rate", [(10**6, 0.001), (SHORT, 0.001), (800, 0.00125), (600, 0.00167), (500, 0.002), (3, 0.002)]
)
def test_fewer_steps_are_longer(steps, rate):
    assert adamw_rates(HYP, steps) == HYP | {"lr0": rate, "warmup_bias_lr": rate}


def test_lower_rates_stay():
    assert adamw_rates({"lr0": 0.0005, "warmup_bias_lr": 0.0001, "box": 1}, 600) == {
        "lr0": 0.0005,
        "warmup_bias_lr": 0.0001,
        "box": 1,
    }
