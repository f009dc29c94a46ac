"""A sparse run that lost much beside a cut of its start without any training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.utils.training.runs import options
from utils.files.checkpoint import load_checkpoint
from utils.pruning.options import PruneOptions
from utils.pruning.prune import prune_checkpoint
from utils.sparsity.at_once import CutAtOnce
from utils.sparsity.options import SparsityOptions
from utils.sparsity.train_sparsity import train_sparsity
from utils.teaching.options import TAUGHT_BY

GIVEN = {"st": True, "sr": "auto", "target": 0.1, "round": 1, "epochs": 2, "seed": 3}


@pytest.fixture
def given(tmp_path, drawn_data, knowing):
    return options(tmp_path, drawn_data, "", SparsityOptions, weights=str(knowing), **GIVEN)


def test_the_cut_without_training_is_taken_where_it_keeps_more(given, tmp_path, capsys):
    run = train_sparsity(given)
    said = capsys.readouterr().out
    assert f"{given.weights} cut at once, without any training, weights refitted: mAP50 " in said
    assert "it keeps more and is taken" in said
    checkpoint = load_checkpoint(run.folder.best_sparse)
    assert checkpoint.entries["cut"]["map"] == pytest.approx(run.evaluation.map, abs=0.01)
    assert checkpoint.network.yaml[TAUGHT_BY] == given.weights
    assert "cut with --percent 0.1 --round 1" in said  # as after any sparse run
    narrow = tmp_path / "narrow.pt"
    words = {"data": given.data, "imgsz": 64, "workers": 0, "device": "cpu", "noval": True}
    cut = prune_checkpoint(
        PruneOptions(weights=str(run.folder.best_sparse), percent=0.1, round=1, out=str(narrow), **words)
    )
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for wide, left in zip(checkpoint.network.eval()(images)[1], cut.after(images)[1]):
            torch.testing.assert_close(left, wide, atol=1e-4, rtol=1e-3)


def test_what_the_training_keeps_stays(given, capsys, monkeypatch):
    written = []
    monkeypatch.setattr("utils.sparsity.at_once.write_checkpoint", lambda *args: written.append(args))
    monkeypatch.setattr("utils.validation.evaluate.Evaluation.fitness", property(lambda self: 0.5))
    monkeypatch.setattr("utils.sparsity.at_once.KEPT", 2.0)
    train_sparsity(given)
    assert "the training keeps more" in capsys.readouterr().out and not written


def test_class_names_in_another_case_are_the_same(given, capsys):
    data = Path(given.data)
    data.write_text(data.read_text().replace("green", "Green"))
    run = train_sparsity(given)
    assert "cut at once, without any training" in capsys.readouterr().out
    assert load_checkpoint(run.folder.best_sparse).network.names[1] == "Green"


@pytest.mark.parametrize("change", [{"activation": "nn.ReLU"}, {"weights": "", "cfg": "tiny"}, {"sr": "0.01"}])
def test_nothing_is_compared_where_the_start_is_another_network(given, tiny_yaml, change, capsys):
    if "cfg" in change:
        change = {**change, "cfg": str(tiny_yaml)}
    train_sparsity(replace(given, **change))
    assert "cut at once, without any training" not in capsys.readouterr().out


def test_a_start_that_is_gone_is_said(given, capsys, monkeypatch):
    def gone(hook, run):
        hook.options.weights = "gone.pt"
        return found(hook, run)

    found = CutAtOnce.beginning
    monkeypatch.setattr(CutAtOnce, "beginning", gone)
    train_sparsity(given)
    assert "a cut at once was not tried: " in capsys.readouterr().out
