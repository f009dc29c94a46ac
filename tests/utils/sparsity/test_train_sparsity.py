"""The hooks of a sparse run, and the run as a whole."""

import pytest
from torch import nn

from models.common import Conv
from tests.utils.sparsity.steps import make_run, start, step
from utils.sparsity.options import SparsityOptions
from utils.sparsity.train_sparsity import goal_of, sparsity_hooks


def test_widths_that_stay_are_multiples_of_what_is_asked_for():
    model = nn.Sequential(Conv(3, 32), Conv(32, 32), nn.Conv2d(32, 2, 1))
    hooks = sparsity_hooks(SparsityOptions(st=True, sr="auto", target=0.5, round=16))
    assert [hook.limits.multiple for hook in hooks] == [16, 16]
    run = make_run(model, total_steps=20)
    hook = start(hooks[0], run)
    for _ in range(20):
        step(run, hook, gradient=1e-3)
    assert all(int((norm.weight != 0).sum()) % 16 == 0 for norm in (model[0].bn, model[1].bn))


def test_without_st_there_is_no_hook():
    assert sparsity_hooks(SparsityOptions(sr="0.1")) == []


@pytest.mark.parametrize(
    ("given", "kind"), [({}, "channels"), ({"target_flops": 0.3}, "FLOPs"), ({"target_latency": 0.3}, "time")]
)
def test_what_a_run_aims_at(given, kind):
    assert goal_of(SparsityOptions(**given)).kind == kind
