"""The model of milliseconds: parts of a layer by hand, rates found again from times that follow, blocks respected."""

import numpy as np
import pytest
from torch import nn

from models.common import Conv, DWConv
from models.yolo import DetectionModel
from utils.benchmark.options import RUNTIMES
from utils.pruning.channels.groups import trace_channels
from utils.pruning.choice import milliseconds
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.milliseconds import Rates, fit_block, fit_rates, layer_parts, non_negative, random_cut
from utils.pruning.choice.selection import largest_share, select_by_cost


def test_parts_of_a_layer_by_hand():
    model = nn.Sequential(Conv(3, 16, 3, 2), DWConv(16, 16, 3), Conv(16, 8, 1), nn.Conv2d(8, 2, 1))
    graph = trace_channels(model)

    def parts(name, block):
        return layer_parts(graph.layers[name], model, 64, block)

    pixels = 32 * 32  # after stride 2
    assert parts("0.conv", 1)(3, 10).tolist() == [0, pixels * 9 * 30, pixels * 10 + 4 * pixels * 3]
    assert parts("0.conv", 8)(3, 10).tolist() == [0, pixels * 9 * 8 * 16, pixels * 16 + 4 * pixels * 8]
    assert parts("1.conv", 1)(12, 12).tolist() == [0, pixels * 9 * 12, pixels * 24]
    assert parts("2.conv", 1)(12, 8).tolist() == [pixels * 12 * 8, 0, pixels * 20]


def test_least_squares_without_negative_coefficients():
    table = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert non_negative(table, np.array([2.0, 3.0, 5.0])) == pytest.approx([2, 3])
    # The best free fit is (2, -1); without negative ones the first alone has its mean.
    assert non_negative(table, np.array([2.0, -1.0, 1.0])) == pytest.approx([1.5, 0])


def test_the_rates_that_made_the_times_are_found(tiny_config, monkeypatch):
    model = DetectionModel(tiny_config)
    graph, rng = trace_channels(model), np.random.default_rng(0)
    true = Rates((3e-8, 1e-8, 2e-6), 0.5, 8, 64, 0.0)
    cuts = [{}, *(random_cut(graph, rng.uniform(0.2, 1), rng, 1) for _ in range(12))]
    cost = true.cost(graph, model)
    times = np.array([cost.of(keep) for keep in cuts])
    found = fit_block(graph, model, cuts, times, 8, 64)
    assert found.rates == pytest.approx(true.rates) and found.constant == pytest.approx(0.5)
    assert found.error == pytest.approx(0, abs=1e-9)
    assert fit_block(graph, model, cuts, times, 1, 64).error > 0.001  # so the right block is the one that is taken


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_network_is_measured_and_every_channel_costs_time(tiny_config, monkeypatch, runtime):
    if runtime == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    monkeypatch.setattr(milliseconds, "SAMPLES", 5)
    model = DetectionModel(tiny_config).eval()
    graph = trace_channels(model)
    rates = fit_rates(graph, model, 64, runtime, np.random.default_rng(0), rounds=2)
    assert min(*rates.rates, rates.constant) >= 0 and rates.block in milliseconds.BLOCKS
    cost = rates.cost(graph, model)
    assert (
        cost.total > 0 and cost.of({graph.free_groups[0].name: np.arange(graph.free_groups[0].width) < 1}) <= cost.total
    )


def test_a_cut_for_time_keeps_whole_blocks(tiny_config):
    model = DetectionModel({**tiny_config, "width_multiple": 0.5})
    graph, rng = trace_channels(model), np.random.default_rng(0)
    cost = Rates((1e-6, 1e-6, 1e-5), 0.0, 16, 64, 0.0).cost(graph, model)
    scores = {group.name: rng.random(group.width) for group in graph.free_groups}
    limits = Limits(8, 0.9, 8)
    keep = select_by_cost(scores, cost, 0.4, limits)
    assert all(mask.sum() % 16 == 0 or mask.all() for mask in keep.values())
    assert cost.of(keep) == pytest.approx(0.4 * cost.total, rel=0.03)
    assert 0.6 < largest_share(scores, cost, limits) < 1
