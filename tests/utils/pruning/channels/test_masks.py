"""Masks refuse what does not fit the graph."""

import numpy as np
import pytest
from torch import nn

from models.common import Conv
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.masks import Masks


@pytest.fixture
def graph():
    return trace_channels(nn.Sequential(Conv(3, 4), nn.Conv2d(4, 2, 1)))


def test_masks_that_fit_print_themselves(graph):
    masks = Masks({"0.conv": np.array([True, False, True, True])}).check(graph)
    assert str(masks) == "0.conv  3 of 4 stay"
    assert Masks.whole({"0.conv": 4})["0.conv"].all()


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"9.conv": np.ones(4, bool)}, "no such group"),
        ({"0.conv": np.ones(3, bool)}, "3 channels, but the group has 4"),
        ({"1": np.array([True, False])}, "protected"),
        ({"0.conv": np.ones(4)}, "vector of bool"),
    ],
)
def test_masks_that_do_not_fit(graph, keep, message):
    with pytest.raises(ValueError, match=message):
        Masks(keep).check(graph)
