"""A cut that loses much is compared with one that needs no training."""

from dataclasses import replace

import pytest

from tests.slim.runs import settings
from utils.errors import InputError
from utils.files.checkpoint import load_checkpoint
from utils.slimming.evaluator import CheckpointEvaluator
from utils.slimming.slim import slim
from utils.slimming.steps import AT_ONCE, PRUNED


@pytest.fixture
def play(place, tmp_path, monkeypatch):
    """Return the function that runs one step whose networks have the mAP50-95 that is said, {file name: mAP}."""
    measure = CheckpointEvaluator.measure

    def begin(maps, **options):
        def found(self, file, folder):
            accuracy = maps.get(file.name, 0.5)
            return replace(measure(self, file, folder), map50=accuracy, map=accuracy)

        monkeypatch.setattr(CheckpointEvaluator, "measure", found)
        return slim(settings(place, tmp_path, steps=1, finetune_epochs=1, **options), reports=False)

    return begin


def test_the_better_of_the_two_is_taken_and_trained_further(play, capsys):
    run = play({PRUNED: 0.01, AT_ONCE: 0.4, "best.pt": 0.1})
    step = run.state.steps[0]
    assert step.pruned.file == f"step1/{AT_ONCE}" and step.result == "pruned"
    assert "mAP50-95 0.4000 against 0.0100 after it; it is taken" in capsys.readouterr().out
    narrow = load_checkpoint(run.folder / step.pruned.file)
    tuned, faded = (load_checkpoint(run.folder / f"step1/{name}") for name in ("finetuned/weights/last.pt", PRUNED))
    assert widths(tuned.model) == widths(narrow.model)
    assert step.pruned.gflops <= 0.75 * run.state.start.gflops
    assert widths(faded.model) != widths(narrow.model)
    assert (run.folder / "slim.pt").read_bytes() == (run.folder / step.pruned.file).read_bytes()


def test_the_faded_network_stays_where_it_is_better(play, capsys):
    run = play({PRUNED: 0.4, AT_ONCE: 0.3, "best.pt": 0.45})
    assert run.state.steps[0].pruned.file == f"step1/{PRUNED}" and run.state.steps[0].result == "finetuned"
    assert "mAP50-95 0.3000 against 0.4000 after it; the latter stays" in capsys.readouterr().out


@pytest.mark.parametrize("kept, options", [(0.46, {}), (0.01, {"sparse_epochs": 0})])
def test_what_lost_little_or_was_cut_at_once_is_not_compared(play, kept, options, capsys):
    run = play({PRUNED: kept, AT_ONCE: 0.6}, **options)
    assert run.state.steps[0].pruned.file == f"step1/{PRUNED}"
    assert "a cut at once" not in capsys.readouterr().out and not (run.folder / "step1" / AT_ONCE).exists()


def test_why_it_cannot_be_tried_is_said(play, monkeypatch, capsys):
    def impossible(recipe):
        raise InputError("the limits leave too much")

    monkeypatch.setattr("utils.pruning.recipe.Recipe.untrained", property(impossible))
    run = play({PRUNED: 0.01})
    assert run.state.steps[0].pruned.file == f"step1/{PRUNED}"
    assert "a cut at once was not tried: the limits leave too much" in capsys.readouterr().out


def widths(model):
    """Return the widths of all convolutions."""
    return [module.out_channels for module in model.modules() if hasattr(module, "out_channels")]
