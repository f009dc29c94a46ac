"""The norms are those worked out by hand, layer by layer."""

import pytest
import torch
from torch import nn

from utils.slimming.report.norms import DECADES, filter_norms, shown_range


def convolution(values, inputs=1):
    """Return a 1×2 convolution whose filters hold the values (v, −v), from each of its inputs."""
    conv = nn.Conv2d(inputs, len(values), (1, 2))
    conv.weight.data = torch.tensor([[[[v, -v]]] * inputs for v in values])
    return conv


def test_a_norm_is_divided_by_the_number_of_weights():
    found = filter_norms(convolution([1.0, 2.0, 3.0, 4.0, 9.0], inputs=3))
    assert found == {"": [1, 2, 3, 4, 9]}


def test_quartiles_between_two_filters_are_interpolated():
    assert filter_norms(convolution([4.0, 1.0]))[""] == pytest.approx([1, 1.75, 2.5, 3.25, 4])
    assert filter_norms(convolution([0.5])) == {"": [0.5] * 5}


def test_all_convolutions_and_nothing_else_in_their_order():
    net = nn.Sequential(
        convolution([1.0]), nn.BatchNorm2d(1), nn.Sequential(convolution([2.0]), nn.Linear(2, 2)), convolution([3.0])
    )
    assert {name: row[2] for name, row in filter_norms(net.half()).items()} == {"0": 1, "2.0": 2, "3": 3}
    assert list(filter_norms(net)) == ["0", "2.0", "3"]


def test_a_detector_has_all_its_layers(tiny_model):
    found = filter_norms(tiny_model)
    names = [name for name, m in tiny_model.named_modules() if isinstance(m, nn.Conv2d)]
    assert list(found) == names and names[-1].endswith(".m.1")
    assert all(row == sorted(row) and row[0] >= 0 for row in found.values())


def test_the_range_holds_all_but_what_is_far_below():
    low, high = shown_range({"a": [0.1, 0.2, 0.3, 0.4, 0.5]}, [2.0])
    assert 0.09 < low < 0.1 and 2 < high < 2.3
    low, high = shown_range({"a": [0, 1e-9, 0.3, 0.4, 0.5]}, [None])
    assert 0.5 < high < 0.6 and low == pytest.approx(high / 10**DECADES)
    low, high = shown_range({"a": [0.0] * 5}, [])
    assert 0 < low < high
