"""The network that fine-tuning begins with stays when no epoch does better."""

import pytest
import torch

from tests.utils.training.runs import options
from utils.files.checkpoint import load_checkpoint
from utils.finetuning.finetune import finetune, finetuning_hooks
from utils.finetuning.options import FinetuneOptions
from utils.training.loop import Hook
from utils.training.train import train

KEPT = "no epoch did better than the network before: best.pt is that one"


@pytest.fixture
def given(tmp_path, drawn_data, knowing):
    return options(tmp_path, drawn_data, "", FinetuneOptions, weights=str(knowing), epochs=2, optimizer="SGD")


def weights(file):
    return load_checkpoint(file).model.state_dict().values()


def test_a_training_that_makes_it_worse_leaves_it(given, knowing, capsys):
    run = finetune(given)
    said = capsys.readouterr().out
    assert "before: mAP50 " in said and KEPT in said and run.best_epoch == 0
    assert all(map(torch.equal, weights(run.folder.best), weights(knowing)))
    assert run.evaluation.fitness == pytest.approx(run.best_fitness, abs=0.01)  # measured again, as it was saved


def test_an_interrupted_run_remembers_it(given, knowing, capsys):
    class PowerCut(Hook):
        def before_epoch(self, run):
            if run.epoch:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(given, hooks=[PowerCut()], make_hooks=finetuning_hooks, keep_classes=True)
    run = finetune(FinetuneOptions(resume=str(next(knowing.parent.glob("runs/*/weights/last.pt")))))
    said = capsys.readouterr().out
    assert said.count("before: mAP50 ") == 1 and KEPT in said
    assert all(map(torch.equal, weights(run.folder.best), weights(knowing)))


def test_a_better_epoch_takes_its_place(given, capsys, monkeypatch):
    monkeypatch.setattr("utils.validation.evaluate.Evaluation.fitness", property(lambda self: 0.5))  # as good counts
    run = finetune(given)
    said = capsys.readouterr().out
    assert "before: mAP50 " in said and run.best_epoch == 1


@pytest.mark.parametrize("change", [{"noval": True}, {"weights": "", "cfg": "tiny"}])
def test_where_nothing_is_known_of_it_nothing_is_said(given, tiny_yaml, capsys, change):
    for key, value in change.items():
        setattr(given, key, str(tiny_yaml) if value == "tiny" else value)
    finetune(given)
    said = capsys.readouterr().out
    assert "before: mAP50" not in said and KEPT not in said
