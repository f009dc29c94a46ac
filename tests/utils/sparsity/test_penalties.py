"""Penalties on gamma: closed forms, exact zeros, what is left alone."""

import pytest
import torch
from torch import nn

from models.common import Conv
from tests.utils.sparsity.steps import make_run, network, start, step
from utils.errors import InputError
from utils.sparsity.penalties import GammaPenalty, soft_threshold
from utils.sparsity.schedules import SCHEDULES


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
@pytest.mark.parametrize("penalty", ["subgradient", "proximal", "group"])
def test_a_gamma_under_the_penalty_alone_reaches_zero_in_the_computed_number_of_steps(name, penalty):
    model = network()
    run = make_run(model, name)
    hook = start(GammaPenalty(sr=0.05, penalty=penalty), run)
    # Each step takes lr · sr / (1 − momentum) = 0.01 · 0.05 / 0.1 = 0.005 from gamma: 200 steps from 1.
    for _ in range(199):
        step(run, hook)
    free = model[2].bn.weight
    assert free.detach() == pytest.approx(torch.full((16,), 0.005).numpy(), abs=1e-4)
    step(run, hook)
    assert free.abs().max() < 1e-4
    if penalty != "subgradient":
        step(run, hook)
        assert torch.equal(free, torch.zeros(16))  # and stays there


@pytest.mark.parametrize(
    "schedule, values",
    [("constant", [1, 1, 1]), ("linear", [1, 0.55, 0.1]), ("cosine", [1, 0.55, 0.1]), ("warmup", [0, 1, 1])],
)
def test_schedules_by_hand(schedule, values):
    assert [SCHEDULES[schedule](progress) for progress in (0, 0.5, 1)] == pytest.approx(values)


def test_a_schedule_scales_the_pull_and_beta_has_its_own_strength():
    model = network()
    run = make_run(model, total_steps=10)
    hook = start(GammaPenalty(0.05, "proximal", "warmup", sr_beta=0.1), run)
    with torch.no_grad():
        model[2].bn.bias.fill_(1.0)
    step(run, hook)  # one tenth of the run, so half of the strength: pulls of 0.0025 and 0.005
    assert model[2].bn.weight.detach() == pytest.approx(torch.full((16,), 0.9975).numpy(), abs=1e-6)
    assert model[2].bn.bias.detach() == pytest.approx(torch.full((16,), 0.995).numpy(), abs=1e-6)


def test_soft_threshold_by_hand():
    values = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert soft_threshold(values, 1.0).tolist() == [-2.0, 0.0, 0.0, 0.0, 2.0]


def test_the_group_penalty_kills_tied_channels_together():
    model = network()
    with torch.no_grad():
        model[0].bn.weight.fill_(0.02)
        model[1].cv2.bn.weight.fill_(0.05)
    run = make_run(model)
    hook = start(GammaPenalty(sr=0.05, penalty="group"), run)
    for _ in range(20):
        step(run, hook)
        # Tied vectors shrink in proportion: the ratio stays, and both reach zero in the same step.
        assert torch.equal(model[0].bn.weight == 0, model[1].cv2.bn.weight == 0)
    assert (model[0].bn.weight == 0).all()


def test_no_strength_changes_nothing():
    torch.manual_seed(0)
    model = network()
    run = make_run(model)
    hook = start(GammaPenalty(sr=0.0), run)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(run, hook)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_only_gammas_of_free_channels_are_pulled():
    model = nn.Sequential(Conv(3, 16), nn.Sequential(Conv(16, 2)))  # the last outputs are the predictions
    run = make_run(model)
    hook = start(GammaPenalty(sr=1.0), run)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(run, hook)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert changed == {"0.bn.weight"}


def test_a_fused_network_cannot_be_trained_sparsely():
    with pytest.raises(InputError, match="no batch norm"):
        start(GammaPenalty(0.1), make_run(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1))))
