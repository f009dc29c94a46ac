"""Every criterion on a case computed by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from models.common import Bottleneck, Conv
from utils.errors import InputError
from utils.pruning import recipe
from utils.pruning.budget import MEASURES
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import masked
from utils.pruning.choice.goal import BUDGETS
from utils.pruning.recipe import AGGREGATES, CRITERIA
from utils.pruning.scores import from_data
from utils.pruning.scores.calibration import Calibration
from utils.pruning.scores.criteria import FROM_DATA, FROM_WEIGHTS, score_channels
from utils.pruning.scores.from_data import Evidence
from utils.pruning.scores.parameters import aggregate

CPU = torch.device("cpu")


def three_filters():
    """A layer of three 1×1 filters (3, 4, 0), (1, 0, 0) and (0, 0, −2), read by one that adds them up."""
    model = nn.Sequential(Conv(3, 3, act=False), nn.Conv2d(3, 1, 1, bias=False)).eval()
    with torch.no_grad():
        model[0].conv.weight.copy_(torch.tensor([[3.0, 4, 0], [1, 0, 0], [0, 0, -2]]).view(3, 3, 1, 1))
        model[1].weight.fill_(1.0)
        model[0].bn.eps = 0.0
    return model


def scores_of(model, criterion, way="sum", **kwargs):
    return score_channels(model, trace_channels(model), criterion, way, **kwargs)["0.conv"]


# The l1 norms 7, 1, 2 have the mean 10/3 and the variance 62/9.
NORMS = (torch.tensor([7.0, 1, 2]).double() - 10 / 3) / (62 / 9) ** 0.5
BY_HAND = {
    "bn": [1.0, 1, 1],
    "l1": [7.0, 1, 2],
    "l2": [5.0, 1, 2],
    "l1-std": (0.5 * (1 + torch.erf(NORMS / 2**0.5))).tolist(),
    "fpgm": [20**0.5 + 29**0.5, 20**0.5 + 5**0.5, 29**0.5 + 5**0.5],  # distances (2,4,0), (3,4,2), (1,0,2)
    "lamp": [25 / 25, 1 / 30, 4 / 29],
}


@pytest.mark.parametrize("criterion", FROM_WEIGHTS)
def test_weights_by_hand(criterion):
    assert scores_of(three_filters(), criterion) == pytest.approx(BY_HAND[criterion], rel=1e-6)


def test_random_is_the_same_for_the_same_seed_and_another_for_another():
    one, same, other = (
        scores_of(three_filters(), "random", generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert ((one > 0) & (one < 1)).all()


@pytest.mark.parametrize(("way", "expected"), list(zip(AGGREGATES, [7.0, 3.5, 4.0, 5.0])))
def test_tied_scores_are_joined(way, expected):
    model = nn.Sequential(Conv(3, 2), Bottleneck(2, 2), nn.Conv2d(2, 1, 1))
    by_layer = {"0.conv": torch.tensor([3.0, 0]), "1.cv2.conv": torch.tensor([4.0, 0])}
    scores = aggregate(trace_channels(model), by_layer, way)
    assert list(scores) == ["0.conv"] and scores["0.conv"].tolist() == [expected, 0]


class Loss:
    """Σ over images of the sum of all outputs, squared."""

    def __call__(self, raw, targets):
        return raw.sum((1, 2, 3)).square().sum(), None


class WithRaw(nn.Sequential):
    """Gives what a detector gives in evaluation mode: something, and the raw outputs."""

    def forward(self, x):
        y = super().forward(x)
        return y, y


def constant_images():
    """Two images of one pixel: black, and white."""
    images = torch.stack([torch.zeros(3, 1, 1), torch.full((3, 1, 1), 255)]).to(torch.uint8)
    return Calibration(images, [torch.zeros(0, 5)] * 2)


def gated():
    """Channels that give (image + 1) · gamma on average: outputs 0 + beta and w·1 + beta."""
    model = WithRaw(*three_filters()).eval()
    with torch.no_grad():
        model[0].bn.bias.copy_(torch.tensor([1.0, 0, 0]))
    return model


def evidence():
    return Evidence(constant_images(), Loss(), CPU)


def test_gradients_by_hand():
    # Black image: channels (1, 0, 0), sum 1; white: (8, 1, −2), sum 7. Loss sum², so ∂loss/∂gate = 2 · sum · channel.
    model = gated()
    slopes = np.array([[2 * 1 * 1, 0, 0], [2 * 7 * 8, 2 * 7 * 1, 2 * 7 * -2]])
    assert scores_of(model, "taylor", evidence=evidence()) == pytest.approx(np.abs(slopes).mean(0))
    assert scores_of(model, "fisher", evidence=evidence()) == pytest.approx((slopes**2).mean(0) / 2)
    assert not any(p.grad is not None for p in model.parameters())


def test_tied_channels_share_a_gate():
    model = WithRaw(Conv(3, 2, act=False), Bottleneck(2, 2), nn.Conv2d(2, 1, 1)).eval()
    graph = trace_channels(model)
    _, slopes = from_data.gate_slopes(model, graph, evidence())
    small = 1e-3
    for channel in range(2):
        moved = [], []
        for side, sign in zip(moved, (1, -1)):
            with torch.no_grad():
                for norm in (model[0].bn, model[1].cv2.bn):
                    norm.weight[channel] *= 1 + sign * small
                    norm.bias[channel] *= 1 + sign * small
                for images, _ in constant_images().batches(CPU, 1):
                    side.append(float(Loss()(model(images)[1], None)[0]))
                for norm in (model[0].bn, model[1].cv2.bn):
                    norm.weight[channel] /= 1 + sign * small
                    norm.bias[channel] /= 1 + sign * small
        numeric = [(up - down) / (2 * small) for up, down in zip(*moved)]
        assert slopes[:, channel].tolist() == pytest.approx(numeric, rel=1e-2, abs=1e-3)


def test_activation_energy_by_hand():
    model = gated()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([1.0, 3, 1]).view(1, 3, 1, 1))
    # Channels are (1, 8), (0, 1), (0, −2) on the two images: variances 12.25, 0.25, 1; squared weights 1, 9, 1.
    assert scores_of(model, "activation", evidence=evidence()) == pytest.approx([12.25, 2.25, 1.0])


def test_ablation_is_the_real_rise_of_the_loss():
    model = WithRaw(Conv(3, 4, act=False), nn.Conv2d(4, 1, 1, bias=False)).eval()
    with torch.no_grad():
        model[0].bn.weight.copy_(torch.tensor([4.0, 1, 2, 3]))
    graph = trace_channels(model)

    class Count(Loss):
        def __call__(self, raw, targets):  # 10 without anything; more the more is gone
            return 10 - raw.abs().sum().clamp(max=9), None

    seen = Evidence(constant_images(), Count(), CPU)
    rises, order = [], [1, 2, 3]  # by |gamma|
    whole = from_data.mean_loss(model, seen)
    for gone in range(1, 4):
        keep = np.ones(4, dtype=bool)
        keep[order[:gone]] = False
        rises.append(from_data.mean_loss(masked(model, graph, {"0.conv": keep}), seen) - whole)
    scores = from_data.ablation(model, graph, seen)["0.conv"]
    reached = 0.0
    for channel, rise in zip(order, rises):
        step = max(rise - reached, 1e-6)
        reached += step
        assert scores[channel] == pytest.approx(step)
    assert scores[0] == pytest.approx(scores[3] * 4 / 3)  # never silenced: rated like the last


@pytest.mark.parametrize("criterion", CRITERIA)
def test_silent_channels_score_zero_and_all_others_more(criterion):
    torch.manual_seed(1)
    model = WithRaw(Conv(3, 16), Bottleneck(16, 16), nn.Conv2d(16, 1, 1)).eval()
    with torch.no_grad():
        for norm in (model[0].bn, model[1].cv2.bn):
            norm.weight[5] = norm.bias[5] = 0
    scores = scores_of(model, criterion, evidence=evidence(), generator=torch.Generator().manual_seed(0))
    assert scores[5] == 0 and (np.delete(scores, 5) > 0).all()


@pytest.mark.parametrize("criterion", ["bn", "l2", "fpgm", "taylor"])
def test_damaged_weights_are_named(criterion):
    model = gated()
    with torch.no_grad():
        model[0].conv.weight[0] = float("nan")
        model[0].bn.weight[0] = float("nan")
    with pytest.raises(InputError, match="0.conv.*NaN"):
        scores_of(model, criterion, evidence=evidence())


@pytest.mark.parametrize("criterion", ["bn", "l1"])
def test_a_network_without_batch_norms_is_refused(criterion):
    with pytest.raises(InputError, match="no batch norm"):
        scores_of(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)), criterion)


def test_every_criterion_is_tested_here():
    assert set(CRITERIA) == {*BY_HAND, *FROM_DATA, "random"}


def test_the_names_of_the_flags_are_the_rows_of_the_tables():
    assert (*FROM_WEIGHTS,) == recipe.FROM_WEIGHTS and (*FROM_DATA,) == recipe.FROM_DATA
    assert (*MEASURES,) == BUDGETS
