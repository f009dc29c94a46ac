import math

import pytest
import torch
from torch import nn

from utils.files.hyp import load_hyp
from utils.training.optim import ModelEMA, Schedule, accumulation, build_optimizer, lr_factor, ramp, scaled_decay


def schedule(**changes):
    values = {
        "epochs": 10,
        "batches": 50,
        "batch_size": 16,
        "lr0": 0.01,
        "lrf": 0.1,
        "momentum": 0.937,
        "warmup_epochs": 3.0,
        "warmup_momentum": 0.8,
        "warmup_bias_lr": 0.1,
    }
    return Schedule(**values | changes)


def test_groups_are_biases_weights_and_norms(tiny_model):
    biases, weights, norms = build_optimizer(tiny_model, "SGD", 0.01, 0.9, 5e-4).param_groups
    parameters = dict(tiny_model.named_parameters())
    assert {id(p) for p in biases["params"]} == {id(p) for name, p in parameters.items() if name.endswith("bias")}
    assert {id(p) for p in norms["params"]} == {id(p) for name, p in parameters.items() if name.endswith("bn.weight")}
    assert sum(len(group["params"]) for group in (biases, weights, norms)) == len(parameters)
    assert [group["weight_decay"] for group in (biases, weights, norms)] == [0, 5e-4, 0]
    assert weights["nesterov"] and weights["momentum"] == 0.9


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_adam_takes_momentum_as_beta1(tiny_model, name):
    optimizer = build_optimizer(tiny_model, name, 0.001, 0.9, 0.01)
    assert type(optimizer).__name__ == name
    assert optimizer.param_groups[1]["betas"] == (0.9, 0.999)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 0.01, 0]


def test_frozen_parameters_are_left_out(tiny_model):
    tiny_model.model[0].requires_grad_(False)
    groups = build_optimizer(tiny_model, "SGD", 0.01, 0.9, 0).param_groups
    taken = {id(p) for group in groups for p in group["params"]}
    assert not taken & {id(p) for p in tiny_model.model[0].parameters()}


def test_accumulation_and_decay():
    assert [accumulation(n) for n in (1, 16, 24, 40, 64, 300)] == [64, 4, 3, 2, 1, 1]
    assert scaled_decay(5e-4, 16) == pytest.approx(5e-4)
    assert scaled_decay(5e-4, 128) == pytest.approx(1e-3)


def test_schedule_ends():
    for cos in (False, True):
        factor = lr_factor(10, 0.1, cos)
        assert factor(0) == pytest.approx(1) and factor(10) == pytest.approx(0.1)
        assert factor(5) == pytest.approx(0.55)
    assert lr_factor(10, 0.1)(2) == pytest.approx(0.82)
    assert lr_factor(10, 0.1, True)(2) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 5)) / 2)


def test_ramp():
    assert [ramp(x, 10, 2.0, 4.0) for x in (0, 5, 10, 99)] == [2, 3, 4, 4]


def test_warm_up():
    run = schedule()
    assert run.warmup == 150
    assert schedule(warmup_epochs=0.5).warmup == 100  # never shorter
    assert run.learning_rates(0) == pytest.approx((0.1, 0, 0))
    assert run.learning_rates(75) == pytest.approx((0.05 + 0.0091 / 2, 0.0091 / 2, 0.0091 / 2))  # in epoch 1
    assert run.learning_rates(150) == pytest.approx((0.0073,) * 3)  # epoch 3 of 10: 1 − 0.9 · 3/10
    assert run.momentum_at(0) == 0.8 and run.momentum_at(75) == pytest.approx(0.8685) and run.momentum_at(151) == 0.937
    assert [run.accumulate(i) for i in (0, 20, 60, 140, 151)] == [1, 1, 2, 4, 4]


@pytest.mark.parametrize("batches", [1, 3, 7, 50])
def test_steps_of_an_epoch_cover_all_batches(batches):
    run = schedule(batches=batches, epochs=120)
    late = run.steps_in(119)
    assert late[-1] == batches - 1
    assert all(b - a <= 4 for a, b in zip([-1, *late], late))
    epochs = [epoch for epoch in range(120) for _ in run.steps_in(epoch)]  # of every step
    assert run.total_steps() == len(epochs)
    assert [run.epoch_of(step) for step in range(len(epochs))] == epochs


def test_average_follows_by_the_rate():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    ema = ModelEMA(model)
    nn.init.constant_(model.weight, 3.0)
    ema.update(model)
    keep = 0.9999 * (1 - math.exp(-1 / 2000))
    assert float(ema.model.weight) == pytest.approx(keep + 3 * (1 - keep), rel=1e-6)
    ema.updates = 10**9
    assert ema.rate() == pytest.approx(0.9999)


def test_average_covers_running_statistics_and_wants_no_gradient(tiny_model):
    ema = ModelEMA(tiny_model)
    before = ema.model.model[0].bn.running_mean.clone()
    with torch.no_grad():
        tiny_model.train()(torch.rand(2, 3, 64, 64))
    ema.update(tiny_model)
    assert not torch.equal(before, ema.model.model[0].bn.running_mean)
    assert not any(p.requires_grad for p in ema.model.parameters()) and not ema.model.training


def test_a_schedule_takes_its_numbers_from_the_hyper_parameters():
    hyp = load_hyp("hyp.scratch-low.yaml")
    found = Schedule.of(hyp, 5, 4, 16, cos_lr=True)
    assert (found.epochs, found.batches, found.batch_size, found.cos_lr) == (5, 4, 16, True)
    assert all(getattr(found, name) == hyp[name] for name in ("lr0", "lrf", "momentum", "warmup_bias_lr"))
