"""One pull by hand: where a batch norm serves free and protected channels alike, and where channels are tied."""

import pytest
import torch
from torch import nn

from models.common import Bottleneck, Conv
from utils.sparsity.penalties import GammaPenalty
from utils.sparsity.schedules import PENALTIES


class Half(nn.Module):
    """One batch norm over four channels, of which the first two are read by what is not understood."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.bn, self.last = (
            nn.Conv2d(3, 2, 1),
            nn.Conv2d(3, 2, 1),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 2, 1),
        )

    def forward(self, x):
        y = self.a(x)
        return self.last(self.bn(torch.cat((y, self.b(x)), 1))), torch.sigmoid(y)


def prepared(model, **options):
    hook = GammaPenalty(0.1, **options)
    hook.prepare(model)
    return hook


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_protected_channels_of_a_batch_norm_are_left_alone(penalty, name):
    hook = prepared(Half(), penalty=penalty)
    pulled = hook.shrunk(name, torch.tensor([1.0, -1.0, 1.0, -1.0]), 0.25)
    assert pulled.tolist() == pytest.approx([1, -1, 0.75, -0.75])


def test_the_share_near_zero_is_that_of_the_free_gammas():
    model = Half()
    hook = prepared(model)
    for gammas, share in (([0, 0, 1, 1], 0), ([1, 1, 0, 1], 0.5), ([1, 1, 0, 0], 1)):
        model.bn.weight.data = torch.tensor(gammas, dtype=torch.float)
        assert prepared(model).share_near_zero() == share
    assert hook.sr_beta == 0.0


def test_tied_gammas_shrink_as_one_vector_and_betas_each_by_itself():
    model = nn.Sequential(Conv(3, 2), Bottleneck(2, 2, e=0.5), nn.Conv2d(2, 2, 1))
    hook = prepared(model, penalty="group")
    # Batch norms in order: two channels, one of the bottleneck alone, two that the addition ties to the first.
    values = torch.tensor([3.0, 0.1, 2.0, 4.0, 0.0])
    alone = 1 - 0.5 / 2.0
    tied = 1 - 0.5 * 2**0.5 / 5.0  # the length of (3, 4) is 5, the strength that of two
    assert hook.shrunk("weight", values, 0.5).tolist() == pytest.approx([3 * tied, 0, 2 * alone, 4 * tied, 0])
    assert hook.shrunk("bias", values, 0.5).tolist() == pytest.approx([2.5, 0, 1.5, 3.5, 0])
    plain = prepared(model, penalty="subgradient")
    assert plain.shrunk("weight", values, 0.5).tolist() == pytest.approx([2.5, -0.4, 1.5, 3.5, 0])
