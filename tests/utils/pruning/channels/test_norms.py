"""Norms that take one mean over all channels, and parameters that no layer has: cut equals silenced, by hand too."""

import numpy as np
import pytest
import torch
from torch import nn

from utils.pruning.channels.groups import trace_on
from utils.pruning.channels.narrowing import leave_out
from utils.pruning.channels.rebuild import masked, rebuild

MAP = torch.tensor([1.0, 2.0, 9.0, 3.0]).view(1, 4, 1, 1)
GONE = torch.tensor([False, False, True, False])


@pytest.mark.parametrize(
    ("norm", "axis"), [(nn.LayerNorm(4, eps=0.0), -1), (nn.GroupNorm(1, 4, eps=0.0), -3)], ids=["layer", "group"]
)
def test_what_is_left_out_counts_neither_in_the_mean_nor_in_the_deviation(norm, axis):
    given = MAP.movedim(1, axis)
    leave_out(norm, GONE, axis)
    deviation = (2 / 3) ** 0.5  # of 1, 2 and 3, whose mean is 2
    wanted = torch.tensor([-1 / deviation, 0, 0, 1 / deviation]).view(1, 4, 1, 1).movedim(1, axis)
    torch.testing.assert_close(norm(given).detach(), wanted)
    torch.testing.assert_close(norm(given + 5 * (given == 9)).detach(), wanted)  # nor is it read


def test_rms_norms_leave_out_squares():
    norm = nn.RMSNorm(4, eps=0.0)
    leave_out(norm, GONE, -1)
    wanted = torch.tensor([1.0, 2.0, 0.0, 3.0]) / (14 / 3) ** 0.5
    torch.testing.assert_close(norm(MAP.flatten()).detach(), wanted)


class Stream(nn.Module):
    """Tokens of 6 channels with positions, a start token, a scale and a norm."""

    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = nn.Conv2d(3, 6, 1), nn.Linear(6, 6), nn.Linear(6, 2)
        self.start, self.norm = nn.Parameter(torch.rand(1, 1, 6)), nn.LayerNorm(6)
        self.register_buffer("positions", torch.rand(1, 5, 6))
        self.scale = nn.Parameter(torch.rand(6))

    def forward(self, x):
        tokens = torch.cat((self.start.expand(x.shape[0], -1, -1), self.first(x).flatten(2).transpose(1, 2)), 1)
        tokens = tokens + self.positions
        return self.last(tokens + self.scale * self.inner(self.norm(tokens)))


def test_loose_parameters_and_buffers_lose_the_channels_of_their_map():
    torch.manual_seed(0)
    model, image = Stream().eval(), torch.rand(1, 3, 2, 2)
    graph = trace_on(model, image)
    assert [(group.name, group.members, group.protected) for group in graph.free_groups] == [
        ("first", ("first", "inner"), None)
    ]
    keep = {"first": np.array([True, False, True, True, False, True])}
    narrow = rebuild(model, graph, keep)
    for name, shape in (("start", (1, 1, 4)), ("positions", (1, 5, 4)), ("scale", (4,))):
        assert getattr(narrow, name).shape == shape and isinstance(getattr(narrow, name), type(getattr(model, name)))
    assert narrow.norm.normalized_shape == (4,) and narrow.norm.weight.shape == (4,)
    assert torch.equal(narrow.positions, model.positions[..., keep["first"]])
    with torch.no_grad():
        torch.testing.assert_close(narrow(image), masked(model, graph, keep)(image))
    assert set(dict(narrow.named_buffers())) == {"positions"} and model.scale.shape == (6,)
