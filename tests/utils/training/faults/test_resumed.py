"""A state to resume that somebody changed: refused by the key that is wrong, before anything of it is used."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch

from utils.errors import InputError
from utils.training.faults.resumed import check_state

EPOCHS, BATCHES = 5, 4


@pytest.fixture(scope="module")
def run():
    layer = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return SimpleNamespace(epochs=EPOCHS, optimizer=optimizer, schedule=SimpleNamespace(batches=BATCHES))


@pytest.fixture
def entries(run):
    part = {"first_batch": 2, "counted": 2, "losses": torch.zeros(3), "log": {"x/lr0": 0.1}}
    state = {"step": 3, "best_epoch": 0, "scaler": {}, "hooks": {"FadeOut": {}}, "part": part}
    optimizer = deepcopy(run.optimizer.state_dict())
    return {"epoch": 1, "updates": 3, "best_fitness": 0.5, "optimizer": optimizer, "state": state}


def put(entries, place, value):
    """Set the value at a dotted place."""
    *path, last = place.split(".")
    for key in path:
        entries = entries[int(key) if key.isdigit() else key]
    entries[int(last) if last.isdigit() else last] = value


def test_a_state_as_it_was_written_is_taken(run, entries):
    check_state("last.pt", run, entries)
    del entries["state"]["part"]
    check_state("last.pt", run, entries)


@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("epoch", [None, "1", -2, EPOCHS, True, 10**400, 1.0]),
        ("updates", [None, float("nan"), -1]),
        ("best_fitness", [None, float("nan"), float("inf"), "x", torch.ones(1)]),
        ("state", ["x", [], 3]),
        ("state.step", [None, -1, {}]),
        ("state.best_epoch", ["x"]),
        ("state.hooks", [None, [], {"FadeOut": 3}]),
        ("state.scaler", [None, 3]),
        ("state.part", [None, [], {}]),
        ("state.part.first_batch", [-1, BATCHES + 1, "2"]),
        ("state.part.losses", [None, torch.zeros(2), [0, 0, 0], torch.zeros(3, dtype=torch.int64)]),
        ("state.part.log", [None, {"x": "y"}, {1: 2.0}]),
        ("optimizer", [None, [], {}]),
        ("optimizer.param_groups", [[], [{}], None]),
        ("optimizer.param_groups.0.lr", ["x", float("nan"), None]),
        ("optimizer.param_groups.0.nesterov", ["yes", 1]),
        ("optimizer.param_groups.0.params", [[0], [0, 7], None]),
        ("optimizer.state.0", [None, "x"]),
        ("optimizer.state.9", [{}]),
        ("optimizer.state.0.momentum_buffer", [torch.ones(7), torch.full((3, 2), torch.nan), "x", torch.ones(1, 3, 2)]),
    ],
)
def test_what_was_changed_is_named(run, entries, place, values):
    for value in values:
        changed = deepcopy(entries)
        put(changed, place, value)
        with pytest.raises(InputError, match="^last.pt: state to resume from: ") as error:
            check_state("last.pt", run, changed)
        assert len(str(error.value)) < 400
