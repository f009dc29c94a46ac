"""What holds for any masks on any block: drawn by hypothesis, the same examples every time."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from models.common import (
    C3,
    C3SPP,
    C3TR,
    SPP,
    SPPF,
    Bottleneck,
    BottleneckCSP,
    C3Ghost,
    C3x,
    Contract,
    Conv,
    CrossConv,
    DWConv,
    Expand,
    Focus,
    GhostBottleneck,
    GhostConv,
)
from models.cost import count_gflops, count_parameters
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import masked, rebuild
from utils.pruning.choice.costs import NetworkCost
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.selection import select_by_cost

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

WIDTH = 8
BLOCKS = {
    "Conv": lambda: Conv(WIDTH, 12, 3),
    "DWConv": lambda: DWConv(WIDTH, WIDTH, 3),
    "grouped Conv": lambda: Conv(WIDTH, WIDTH, 3, g=2),
    "Bottleneck": lambda: Bottleneck(WIDTH, WIDTH),
    "Bottleneck without addition": lambda: Bottleneck(WIDTH, 12),
    "BottleneckCSP": lambda: BottleneckCSP(WIDTH, WIDTH),
    "CrossConv": lambda: CrossConv(WIDTH, WIDTH, 3, 1, 1, 1.0, True),
    "C3": lambda: C3(WIDTH, WIDTH, 2),
    "C3x": lambda: C3x(WIDTH, WIDTH),
    "C3TR": lambda: C3TR(WIDTH, WIDTH),
    "C3SPP": lambda: C3SPP(WIDTH, WIDTH),
    "C3Ghost": lambda: C3Ghost(WIDTH, WIDTH),
    "SPP": lambda: SPP(WIDTH, WIDTH),
    "SPPF": lambda: SPPF(WIDTH, WIDTH),
    "Focus": lambda: Focus(WIDTH, WIDTH),
    "GhostConv": lambda: GhostConv(WIDTH, WIDTH),
    "GhostBottleneck": lambda: GhostBottleneck(WIDTH, WIDTH),
    "strided GhostBottleneck": lambda: GhostBottleneck(WIDTH, 12, 3, 2),
    "Contract": Contract,
    "Expand": Expand,
}
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
ANY = Limits(min_channels=1, max_share=1.0, multiple=1)


@cache
def network(name):
    """Return (a network around a block, its ChannelGraph)."""
    torch.manual_seed(0)
    block = BLOCKS[name]()
    with torch.no_grad():
        out = block.eval()(torch.zeros(1, WIDTH, 8, 8)).shape[1]
        model = nn.Sequential(Conv(3, WIDTH, 3, 4), block, Conv(out, 6, 3), nn.Conv2d(6, 2, 1)).eval()
        for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
            for tensor, low, high in ((norm.weight, 0.5, 1.5), (norm.bias, -0.5, 0.5), (norm.running_mean, -0.5, 0.5)):
                tensor.uniform_(low, high)
    return model, trace_channels(model)


def draw_masks(data, graph):
    """Draw masks that leave at least one channel of every group."""
    masks = {}
    for group in graph.free_groups:
        mask = np.array(data.draw(st.lists(st.booleans(), min_size=group.width, max_size=group.width)))
        mask[data.draw(st.integers(0, group.width - 1))] = True
        masks[group.name] = mask
    return masks


def examples(count):
    return hypothesis.settings(max_examples=count, deadline=None, derandomize=True, database=None)


def outputs(model):
    with torch.no_grad():
        return model(IMAGES)


@pytest.mark.parametrize("name", BLOCKS)
@examples(6)
@hypothesis.given(st.data())
def test_masked_equals_rebuilt_and_counts_add_up(name, data):
    model, graph = network(name)
    masks = draw_masks(data, graph)
    narrow = rebuild(model, graph, masks)
    torch.testing.assert_close(outputs(narrow), outputs(masked(model, graph, masks)), atol=1e-5, rtol=1e-4)
    flops, parameters = NetworkCost.flops(graph, model, 64), NetworkCost.parameters(graph, model)
    assert parameters.of(masks) == count_parameters(narrow)
    assert flops.of(masks) == pytest.approx(count_gflops(narrow, 64) * 1e9, rel=1e-9)


@pytest.mark.parametrize("name", BLOCKS)
def test_one_channel_left(name):
    model, graph = network(name)
    masks = {group.name: np.arange(group.width) == group.width - 1 for group in graph.free_groups}
    narrow = rebuild(model, graph, masks)
    torch.testing.assert_close(outputs(narrow), outputs(masked(model, graph, masks)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", BLOCKS)
def test_an_empty_mask_changes_nothing_however_often(name):
    model, graph = network(name)
    whole = {group.name: np.ones(group.width, dtype=bool) for group in graph.free_groups}
    once = rebuild(model, graph, whole)
    twice = rebuild(once, trace_channels(once), {})
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twice.state_dict().values(), strict=True))


@examples(20)
@hypothesis.given(st.data())
def test_two_cuts_are_one(data):
    model, graph = network("C3")
    masks = draw_masks(data, graph)
    half = {name: mask for i, (name, mask) in enumerate(masks.items()) if i % 2}
    rest = {name: mask for name, mask in masks.items() if name not in half}
    first = rebuild(model, graph, half)
    second = rebuild(first, trace_channels(first), rest)
    once = rebuild(model, graph, masks)
    assert all(torch.equal(a, b) for a, b in zip(once.state_dict().values(), second.state_dict().values(), strict=True))


@examples(20)
@hypothesis.given(st.permutations(range(7)), st.floats(0.3, 1.0))
def test_order_of_groups_does_not_matter(order, left):
    model, graph = network("C3")
    rng = np.random.default_rng(0)
    scores = {group.name: rng.random(group.width) for group in graph.free_groups}
    cost = NetworkCost.flops(graph, model)
    names = list(scores)
    turned = {names[i]: scores[names[i]] for i in order if i < len(names)}
    assert set(turned) == set(scores)
    keep, other = (select_by_cost(s, cost, left, ANY) for s in (scores, turned))
    assert all(np.array_equal(keep[name], other[name]) for name in scores)


@examples(20)
@hypothesis.given(st.data(), st.floats(0.3, 0.9))
def test_more_goes_at_a_smaller_budget_and_no_floor_breaks(data, left):
    model, graph = network("C3Ghost")
    scores = {
        g.name: np.array(data.draw(st.lists(st.floats(0, 10), min_size=g.width, max_size=g.width)))
        for g in graph.free_groups
    }
    cost = NetworkCost.parameters(graph, model)
    keep = select_by_cost(scores, cost, left, ANY)
    assert all(mask.any() for mask in keep.values())
    assert cost.of(keep) <= cost.of(select_by_cost(scores, cost, min(left + 0.1, 1.0), ANY))
