"""Costs of what masks leave: equal to those of the rebuilt network, by hand, and met by a budget."""

import numpy as np
import pytest
import torch
from torch import nn

from models.common import C3TR, BottleneckCSP, C3Ghost, Conv, DWConv, Focus
from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.choice.costs import ChannelCost, NetworkCost
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.selection import largest_share, rounded_down, select_by_cost, smallest

ANY = Limits(min_channels=1, max_share=1.0, multiple=1)
BLOCKS = [BottleneckCSP(16, 16, 2), C3Ghost(16, 16), C3TR(16, 16), DWConv(16, 16, 3), Focus(16, 8)]


def random_masks(graph, rng):
    masks = {group.name: rng.random(group.width) < rng.random() for group in graph.free_groups}
    for mask in masks.values():
        mask[0] = True
    return masks


def wrap(block):
    with torch.no_grad():
        out = block.eval()(torch.zeros(1, 16, 8, 8)).shape[1]
    return nn.Sequential(Conv(3, 16, 3, 4), block, Conv(out, 8, 3), nn.Conv2d(8, 2, 1))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: type(b).__name__)
def test_both_counts_are_those_of_the_rebuilt_network(block):
    model, rng = wrap(block), np.random.default_rng(0)
    graph = trace_channels(model)
    flops, parameters = NetworkCost.flops(graph, model, 320), NetworkCost.parameters(graph, model)
    assert flops.total == pytest.approx(count_gflops(model, 320) * 1e9) and parameters.total == count_parameters(model)
    for _ in range(5):
        keep = random_masks(graph, rng)
        narrow = rebuild(model, graph, keep)
        assert flops.of(keep) == pytest.approx(count_gflops(narrow, 320) * 1e9)
        assert parameters.of(keep) == count_parameters(narrow)


def test_a_whole_detector_and_its_ledger(tiny_config):
    model, rng = DetectionModel(tiny_config), np.random.default_rng(0)
    graph = trace_channels(model)
    keep = random_masks(graph, rng)
    narrow = rebuild(model, graph, keep)
    for cost, expected in (
        (NetworkCost.flops(graph, model), count_gflops(narrow) * 1e9),
        (NetworkCost.parameters(graph, model), count_parameters(narrow)),
    ):
        ledger, gained = cost.ledger(), 0
        for name, mask in keep.items():
            gained += ledger.gain(name, np.flatnonzero(~mask))
            ledger.remove(name, np.flatnonzero(~mask))
        assert ledger.left == pytest.approx(expected) == pytest.approx(cost.of(keep))
        assert cost.total - gained == pytest.approx(expected)


def test_marginal_costs_by_hand():
    model = nn.Sequential(Conv(3, 4), Conv(4, 6, 3), nn.Conv2d(6, 2, 1))
    graph = trace_channels(model)
    ledger = NetworkCost.parameters(graph, model).ledger()
    # A channel of the first: 3 weights, gamma and beta, and 9 · 6 weights of the second.
    assert ledger.gain("0.conv", np.array([0])) == 3 + 2 + 54
    ledger.remove("1.conv", np.array([0, 1]))
    assert ledger.gain("0.conv", np.array([0])) == 3 + 2 + 36
    # FLOPs at 10 × 10 pixels: twice the multiply-adds.
    assert NetworkCost.flops(graph, model, 10).ledger().gain("0.conv", np.array([0])) == pytest.approx(200 * (3 + 54))


def test_fixed_costs_by_hand():
    cost = ChannelCost({"a": np.array([1, 2, 4]), "b": np.array([8, 16])})
    assert (cost.name, cost.total, cost.block) == ("channels", 31, 1)
    assert cost.of({}) == 31 and cost.of({"a": np.array([True, False, True]), "b": np.array([False, True])}) == 21
    ledger = cost.ledger()
    assert ledger.left == 31 and ledger.gain("a", np.array([0, 2])) == 5
    ledger.remove("a", np.array([0, 2]))
    ledger.remove("b", np.array([1]))
    assert ledger.left == 10 and cost.total == 31


class Twice(nn.Module):
    """A layer that runs at two sizes: 4 × 4 of the image's 16 × 16 pixels, and 2 × 2."""

    def __init__(self):
        super().__init__()
        self.first, self.shared, self.last = Conv(3, 4, 3, 4), Conv(4, 4, 3, 2), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.last(self.shared(self.shared(self.first(x))))


def test_a_layer_that_runs_twice_costs_both_of_its_areas():
    graph = trace_channels(Twice(), image_size=64)
    assert [layer.area for layer in graph.layers.values() if layer.is_conv] == [1 / 16, 1 / 64 + 1 / 256, 1 / 256]
    gain = NetworkCost.flops(graph, Twice(), 64).ledger().gain("first.conv", np.array([0]))
    # One of four channels: 27 of the weights at 256 pixels, 9 · (16 − 9) at 64 and 16 pixels, 2 at 16 pixels.
    assert gain == 2 * (27 * 256 + 63 * (64 + 16) + 2 * 16)


def test_images_have_640_pixels_a_side_unless_told_and_channels_are_paid_one_by_one():
    model = nn.Sequential(Conv(3, 4), nn.Conv2d(4, 2, 1))
    cost = NetworkCost.flops(trace_channels(model), model)
    assert cost.ledger().gain("0.conv", np.array([0])) == 2 * (3 + 2) * 640 * 640
    assert (cost.block, cost.constant) == (1, 0)


def test_a_depthwise_convolution_pays_for_its_bias():
    model = nn.Sequential(Conv(3, 4), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    ledger = NetworkCost.parameters(trace_channels(model), model).ledger()
    # 3 weights, gamma and beta; 9 weights and a bias; 2 weights of the last.
    assert ledger.gain("0.conv", np.array([2])) == 3 + 2 + 9 + 1 + 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flops", "parameters"])
@pytest.mark.parametrize("left", [0.9, 0.5, 0.25])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_budgets_are_met_within_two_percent(kind, left, scope):
    model = DetectionModel(ROOT / "models/yolov5n.yaml")
    graph, rng = trace_channels(model), np.random.default_rng(0)
    cost = getattr(NetworkCost, kind)(graph, model)
    scores = {group.name: rng.random(group.width) for group in graph.free_groups}
    keep = select_by_cost(scores, cost, left, Limits(8, 0.9, 8), scope)
    assert cost.of(keep) == pytest.approx(left * cost.total, rel=0.02)
    assert all(mask.sum() % 8 == 0 for mask in keep.values())


def test_a_budget_below_the_floor_is_refused_with_what_is_possible(tiny_config):
    model = DetectionModel(tiny_config)
    graph = trace_channels(model)
    cost = NetworkCost.flops(graph, model)
    scores = {group.name: np.arange(1.0, group.width + 1) for group in graph.free_groups}
    limits = Limits(8, 0.7, 8)
    ceiling = largest_share(scores, cost, limits)
    assert 1 - cost.of(smallest(scores, limits)) / cost.total == ceiling
    with pytest.raises(InputError, match=f"^95.0% of the FLOPs cannot go: at most {rounded_down(ceiling)}"):
        select_by_cost(scores, cost, 0.05, limits)


@pytest.mark.parametrize("left", [0.0, -1.0, 1.1, float("nan")])
def test_shares_outside_are_refused(left):
    model = wrap(Focus(16, 8))
    graph = trace_channels(model)
    with pytest.raises(InputError, match="above 0 and at most 1"):
        select_by_cost({}, NetworkCost.flops(graph, model), left, ANY)
