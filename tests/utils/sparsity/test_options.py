"""Flags of sparse training that do not fit each other, and what they mean together."""

import pytest

from utils.errors import InputError
from utils.sparsity.options import SparsityOptions, opening_notes, parse_strength


@pytest.mark.parametrize("text", ["-0.1", "nan", "much", ""])
def test_wrong_strengths(text):
    with pytest.raises(InputError, match="--sr"):
        parse_strength(text)


@pytest.mark.parametrize(
    "given",
    [
        {"sr": "auto"},
        {"sr": "auto", "target": 1.0},
        {"sr": "auto", "target_flops": 0.0},
        {"sr": "auto", "target": 0.5, "target_flops": 0.5},
        {"sr": "auto", "target": 0.5, "penalty": "group"},
        {"sr": "0.1", "target": 2.0},
        {"sr": "auto", "target_latency": 1.5},
        {"sr": "auto", "target_latency": 0.5, "target_flops": 0.5},
        {"sr": "auto", "target": 0.5, "runtime": "torch"},
        {"sr": "auto", "target": 0.5, "max_drop": 0.01, "noval": True},
        {"sr": "0.1", "max_drop": 0.01},
        {"sr": "auto", "target": 0.5, "max_drop": 0.01, "activation": "nn.ReLU()"},
    ],
)
def test_options_that_do_not_fit_each_other(given):
    with pytest.raises(InputError):
        SparsityOptions(st=True, **given).check()


def test_a_penalty_with_a_goal_may_be_a_misunderstanding():
    assert opening_notes(SparsityOptions(st=True, sr="0.1")) == []
    assert opening_notes(SparsityOptions(st=True, sr="auto", target=0.5)) == []
    (line,) = opening_notes(SparsityOptions(st=True, target_flops=0.5))
    assert "--sr 0.005 is a penalty" in line and "--target-flops is the cut" in line and line.endswith("--sr auto")
    (line,) = opening_notes(SparsityOptions(st=True, sr="auto", target_latency=0.5, runtime="torch"))
    assert "measuring in torch" in line


@pytest.mark.parametrize("given", [{"sr": "0.005"}, {"sr": "auto", "target": 0.5}, {"penalty": "group"}, {"round": 16}])
def test_flags_of_sparse_training_are_refused_without_st(given):
    with pytest.raises(InputError, match="has no effect without --st"):
        SparsityOptions(**given).check()
    SparsityOptions(st=True, **given).check()
    SparsityOptions().check()


def test_a_plain_run_of_an_earlier_version_resumes(tmp_path):
    SparsityOptions(resume=str(tmp_path), sr="0.005").check()  # it stored the strength that it did not use
    assert SparsityOptions(st=True).strength == 0.005
