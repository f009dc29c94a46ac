"""Which optimizer a run gets that names none."""

import pytest

from utils.training.options import TrainOptions
from utils.training.pace import ENOUGH_STEPS, MANY_STEPS, adamw_rates, nominal_batch, settle_optimizer
from utils.training.plan import Plan

HYP = {"lr0": 0.01, "lrf": 0.01, "warmup_bias_lr": 0.1}


def settled(batches, hyp=HYP, **options):
    said = []
    plan = Plan(TrainOptions(**options), hyp, None, None, None)
    object.__setattr__(plan, "say", said.append)
    plan = settle_optimizer(plan, batches)
    return plan.options.optimizer, plan.options.nominal_batch, plan.hyp, said


def test_few_steps_are_taken_by_adamw_after_each_batch():
    optimizer, nominal, hyp, said = settled(10, optimizer="auto", epochs=60, batch_size=16)
    assert (optimizer, nominal) == ("AdamW", 16)
    assert hyp == {"lr0": 0.001, "lrf": 0.01, "warmup_bias_lr": 0.001}
    assert said == ["optimizer: AdamW at 0.001, about 600 steps of 16 images, because 150 of 64 are few for SGD"]


def test_many_steps_are_sgds():
    batches = 4 * MANY_STEPS // 100
    assert settled(batches, optimizer="auto", epochs=100, batch_size=16) == ("SGD", 64, HYP, [])
    assert settled(batches - 1, optimizer="auto", epochs=100, batch_size=16)[0] == "AdamW"


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_named_optimizer_stays_with_its_rates(name):
    assert settled(10, optimizer=name, epochs=60) == (name, 64, HYP, [])
    assert settled(10, optimizer=name, epochs=60, nominal_batch=32)[1] == 32


def test_a_given_nominal_batch_stays():
    assert settled(10, optimizer="auto", epochs=60, nominal_batch=48)[:2] == ("AdamW", 48)


@pytest.mark.parametrize(
    "batches, batch_size, images",
    [
        (1, 16, 16),
        (2 * ENOUGH_STEPS - 1, 16, 16),
        (2 * ENOUGH_STEPS, 16, 32),
        (3 * ENOUGH_STEPS, 16, 48),
        (4 * ENOUGH_STEPS, 16, 64),
        (9 * ENOUGH_STEPS, 16, 64),
        (1, 64, 64),
        (1, 100, 64),
        (2 * ENOUGH_STEPS, 8, 16),
    ],
)
def test_steps_are_as_small_as_it_takes_to_have_enough(batches, batch_size, images):
    assert nominal_batch(batches, batch_size) == images


def test_lower_rates_stay():
    assert adamw_rates({"lr0": 0.0005, "warmup_bias_lr": 0.0001, "box": 1}) == {
        "lr0": 0.0005,
        "warmup_bias_lr": 0.0001,
        "box": 1,
    }
