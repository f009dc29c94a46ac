"""Channels by tracing: what is tied, what is protected, and why."""

import pytest
import torch
from torch import nn

from models.common import Bottleneck, BottleneckCSP, C3Ghost, Conv
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.report.tables import group_table


class Chain(nn.Sequential):
    """Layers one after the other on an image of three channels."""


class Odd(nn.Module):
    """A module that no table knows: addition, concat, split and a convolution in groups."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = Conv(3, 8), Conv(8, 8, 3), Conv(3, 4)
        self.grouped = Conv(12, 12, 3, g=4)
        self.d, self.e, self.last = Conv(12, 6), Conv(12, 10), nn.Conv2d(11, 2, 1)

    def forward(self, x):
        y = self.a(x)
        y = torch.cat((y + self.b(y), self.c(x)), 1)
        first, second = self.e(y).split(5, 1)
        return self.last(torch.cat((self.d(self.grouped(y)), first * second), 1))


def groups_of(model):
    return {group.name: group for group in trace_channels(model).groups}


def test_yolov5n_has_the_known_number_of_channels():
    graph = trace_channels(DetectionModel(ROOT / "models/yolov5n.yaml"))
    assert sum(len(group.members) for group in graph.free_groups) == 57
    assert graph.prunable_channels() == 4752
    assert sum(group.width for group in graph.free_groups) == 4352  # residual ties take the difference
    assert [g.name for g in graph.groups if g.protected] == ["model.24.m.0", "model.24.m.1", "model.24.m.2"]


def test_a_residual_addition_ties_what_it_adds():
    groups = groups_of(Chain(Conv(3, 8), Bottleneck(8, 8, e=0.5), Bottleneck(8, 8, e=0.5), nn.Conv2d(8, 2, 1)))
    assert groups["0.conv"].members == ("0.conv", "1.cv2.conv", "2.cv2.conv")
    assert groups["0.conv"].norms == ("0.bn", "1.cv2.bn", "2.cv2.bn")
    assert groups["1.cv1.conv"].members == ("1.cv1.conv",) and groups["1.cv1.conv"].width == 4
    assert groups["3"].protected == "its outputs are the predictions"


def test_a_bottleneck_without_addition_ties_nothing():
    groups = groups_of(Chain(Conv(3, 8), Bottleneck(8, 8, shortcut=False), nn.Conv2d(8, 2, 1)))
    assert all(len(group.members) == 1 for group in groups.values())


def test_an_unknown_module_is_followed_as_far_as_it_is_understood():
    groups = groups_of(Odd())
    assert groups["a.conv"].members == ("a.conv", "b.conv", "c.conv", "grouped.conv")
    assert groups["a.conv"].width == 4 and groups["a.conv"].ties == ("additions", "groups")  # whole groups of three
    assert groups["e.conv"].protected == "split (call_method) has fixed bounds"
    assert groups["d.conv"].protected is None


def test_depthwise_convolutions_pass_their_channels_on():
    groups = groups_of(Chain(Conv(3, 16), C3Ghost(16, 16, 1), nn.Conv2d(16, 2, 1)))
    ghost = groups["1.m.0.conv.0.cv1.conv"]
    assert ghost.members == ("1.m.0.conv.0.cv1.conv", "1.m.0.conv.0.cv2.conv")
    assert ghost.protected is None


def test_a_batch_norm_over_a_concat_belongs_to_both_parts():
    groups = groups_of(Chain(Conv(3, 8), BottleneckCSP(8, 8), nn.Conv2d(8, 2, 1)))
    assert groups["1.cv2"].norms == ("1.bn",) and groups["1.cv3"].norms == ("1.bn",)


def test_patterns_protect_layers_and_what_is_tied_to_them():
    graph = trace_channels(Chain(Conv(3, 8), Bottleneck(8, 8), Conv(8, 8), nn.Conv2d(8, 2, 1)))
    graph.protect(["1.cv2"])
    protected = {group.name: group.protected for group in graph.groups}
    assert protected["0.conv"] == "asked for by 1.cv2" and protected["2.conv"] is None
    with pytest.raises(InputError, match="7: matches no layer"):
        graph.protect(["7"])


def test_a_module_never_seen_prints_what_it_protects():
    table = group_table(trace_channels(Odd()), Odd(), 640)
    lines = {line.split()[0]: line for line in table.splitlines()}
    assert "tied by additions and groups to b.conv, c.conv, grouped.conv" in lines["a.conv"]
    assert "has fixed bounds" in lines["e.conv"]
    # A channel of d: 12 weights, gamma and beta, two weights of the last: 16; 12 + 2 multiply-adds a pixel.
    assert lines["d.conv"].split()[1:4] == ["6", "16", f"{2 * 14 * 640 * 640 / 1e6:.3f}"]


def test_a_group_prints_itself():
    groups = groups_of(Chain(Conv(3, 8), Bottleneck(8, 8), nn.Conv2d(8, 2, 1)))
    assert str(groups["0.conv"]) == "0.conv: 8 channels, tied by additions to 1.cv2.conv (free)"


class Joined(nn.Module):
    """Two convolutions side by side, added to a third that is as wide as both, then one that stands alone."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.alone, self.both = Conv(3, 4), Conv(3, 6), Conv(3, 5), Conv(3, 10)
        self.last = nn.Conv2d(15, 2, 1)

    def forward(self, x):
        both = torch.cat((self.a(x), self.b(x)), 1) + self.both(x)
        return self.last(torch.cat((both, self.alone(x)), 1))


def test_a_convolution_that_shares_with_two_groups_makes_them_one():
    groups = [group for group in trace_channels(Joined()).groups if not group.protected]
    assert [(group.members, group.width) for group in groups] == [
        (("a.conv", "b.conv", "both.conv"), 10),
        (("alone.conv",), 5),
    ]


@pytest.mark.parametrize("training", [True, False])
def test_tracing_leaves_the_mode_of_a_network(training):
    model = Joined().train(training)
    trace_channels(model)
    assert {module.training for module in model.modules()} == {training}


def test_a_pattern_that_matches_nothing_is_told_a_name_that_would():
    with pytest.raises(InputError, match=r"^nothing: matches no layer; names look like a\.conv$"):
        trace_channels(Joined()).protect(["nothing"])
