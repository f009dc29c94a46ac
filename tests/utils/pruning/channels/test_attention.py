"""torch's attention: heads or places go in query, key, value and output alike, and the rest gives what it gave."""

import numpy as np
import pytest
import torch
from torch import nn

from models.cost import count_gflops, count_parameters
from utils.pruning.channels.groups import trace_on
from utils.pruning.channels.rebuild import masked, rebuild
from utils.pruning.choice.costs import NetworkCost

IMAGE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Tokens(nn.Module):
    """Residual attention between the pixels of a map of 12 channels."""

    def __init__(self, heads, read=lambda result: result[0], **options):
        super().__init__()
        self.first, self.last, self.read = nn.Conv2d(3, 12, 1), nn.Linear(12, 2), read
        self.query, self.key, self.value = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.attention, self.norm = nn.MultiheadAttention(12, heads, batch_first=True, **options), nn.LayerNorm(12)
        for tensor in self.attention.parameters():
            nn.init.uniform_(tensor, -0.8, 0.8)

    def forward(self, x):
        x = self.norm(self.first(x).flatten(2).transpose(1, 2))
        return self.last(self.read(self.attention(self.query(x), self.key(x), self.value(x))) + x)


@pytest.mark.parametrize(
    ("heads", "units", "left"), [(6, 6, (4, 2)), (2, 6, (2, 4)), (1, 12, (1, 10)), (12, 12, (10, 1))]
)
@pytest.mark.parametrize("bias", [True, False])
def test_heads_or_places_go_whichever_is_finer(heads, units, left, bias):
    torch.manual_seed(0)
    model = Tokens(heads, bias=bias).eval()
    graph = trace_on(model, IMAGE)
    (group,) = graph.free_groups
    assert group.width == units and {"first", "query", "key", "value", "attention"} == set(group.members)
    keep = {"first": ~np.isin(np.arange(units), (1, 4))}
    narrow, silent = rebuild(model, graph, keep), masked(model, graph, keep)
    assert (narrow.attention.num_heads, narrow.attention.head_dim) == left
    with torch.no_grad():
        torch.testing.assert_close(narrow(IMAGE), silent(IMAGE))
        assert (silent(IMAGE) - model(IMAGE)).abs().max() > 0.01  # the cut is felt
    assert NetworkCost.flops(graph, model, 64).of(keep) == pytest.approx(count_gflops(narrow, 64) * 1e9)
    assert NetworkCost.parameters(graph, model).of(keep) == count_parameters(narrow)


def test_the_attention_itself_stays_the_same_where_places_go():
    model = Tokens(2).eval()
    graph = trace_on(model, IMAGE)
    keep = {"first": np.arange(6) < 4}
    given = [torch.rand(1, 5, 12) for _ in range(3)]
    left = torch.from_numpy(np.tile(keep["first"], 2))
    for tensor in given:
        tensor[..., ~left] = 0
    narrow, silent = rebuild(model, graph, keep), masked(model, graph, keep)
    with torch.no_grad():
        (tokens, weights), (wanted, full) = narrow.attention(*(x[..., left] for x in given)), silent.attention(*given)
    torch.testing.assert_close(tokens, wanted[..., left])
    torch.testing.assert_close(weights, full)


@pytest.mark.parametrize(
    "model",
    [
        lambda: Tokens(6, lambda result: result[0] * result[1].mean()),  # a mean over the heads
        lambda: Tokens(2, add_zero_attn=True),
        lambda: Tokens(2, add_bias_kv=True),
    ],
)
def test_attention_that_could_not_go_alone_is_protected_and_named(model):
    groups = trace_on(model().eval(), IMAGE).groups
    assert all(group.protected for group in groups)
    assert "attention (MultiheadAttention) has no heads or places that could go alone" in {g.protected for g in groups}
