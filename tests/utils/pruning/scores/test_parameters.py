"""Scores of channels, computed by hand."""

import pytest
import torch
from torch import nn

from models.common import Bottleneck, Conv
from utils.errors import InputError
from utils.pruning.channels.groups import trace_channels
from utils.pruning.scores.parameters import ChannelParameters, gamma_scores


def network():
    model = nn.Sequential(Conv(3, 4), Bottleneck(4, 4, e=0.5), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        model[0].bn.weight.copy_(torch.tensor([1.0, -2.0, 3.0, 4.0]))
        model[1].cv1.bn.weight.copy_(torch.tensor([0.5, -0.25]))
        model[1].cv2.bn.weight.copy_(torch.tensor([10.0, 20.0, -30.0, 40.0]))
    return model


def test_tied_gammas_add_up():
    model = network()
    scores = gamma_scores(model, trace_channels(model))
    assert scores["0.conv"].tolist() == [11, 22, 33, 44]
    assert scores["1.cv1.conv"].tolist() == [0.5, 0.25]
    assert set(scores) == {"0.conv", "1.cv1.conv"}


def test_flat_vectors_go_both_ways():
    model = network()
    parameters = ChannelParameters(model, trace_channels(model))
    factors = parameters.from_groups(
        {"0.conv": torch.tensor([0.0, 1, 1, 1]).numpy(), "1.cv1.conv": torch.tensor([2.0, 1]).numpy()}
    )
    parameters.multiply(parameters.per_place(factors.float(), 1.0))
    assert model[0].bn.weight.tolist() == [0, -2, 3, 4]
    assert model[1].cv2.bn.weight.tolist() == [0, 20, -30, 40]
    assert model[1].cv1.bn.weight.tolist() == [1.0, -0.25]


def test_a_damaged_checkpoint_is_named():
    model = network()
    with torch.no_grad():
        model[1].cv1.bn.weight[0] = float("nan")
    with pytest.raises(InputError, match="1.cv1.conv.*NaN"):
        gamma_scores(model, trace_channels(model))
