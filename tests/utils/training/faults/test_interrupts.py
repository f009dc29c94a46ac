"""A training that a signal stops: its end, its checkpoint in the middle of an epoch, and that nothing is different."""

import os
import re
import signal
from pathlib import Path

import pytest
import torch

from utils.errors import Terminated
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import RunFolder
from utils.finetuning.options import FinetuneOptions
from utils.sparsity.options import SparsityOptions
from utils.sparsity.train_sparsity import advised_hooks
from utils.teaching.hooks import teaching_hooks
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.train import train


class Stop(Hook):
    """Sends a signal to this process in a batch."""

    def __init__(self, number, epoch, batch, times=1):
        self.number, self.place, self.times = number, (epoch, batch), times

    def extra_loss(self, run, images, raw):
        if (run.epoch, run.batch.index) == self.place:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.fixture
def given(tmp_path, drawn_data, tiny_yaml, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {
        "weights": "",
        "cfg": str(tiny_yaml),
        "data": str(drawn_data),
        "imgsz": 64,
        "batch_size": 2,
        "epochs": 2,
        "workers": 0,
        "device": "cpu",
        "project": "runs",
        "noplots": True,
    }


def states(run):
    """Return the tensors of a run's networks and optimizer."""
    kept = [value for state in run.optimizer.state_dict()["state"].values() for value in state.values()]
    return [*run.model.state_dict().values(), *run.ema.model.state_dict().values(), *kept]


def test_a_training_stopped_within_epochs_ends_as_if_it_had_not_been(given, capsys):
    whole = train(TrainOptions(**given, name="whole", multi_scale=True, image_weights=True))
    options = TrainOptions(**given, name="cut", multi_scale=True, image_weights=True)
    last = RunFolder(Path("runs/cut")).last
    for epoch in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            train(options, hooks=[Stop(signal.SIGINT, epoch, 1)])
        line = capsys.readouterr().out.splitlines()[-1]
        assert re.search(rf"[23] of 4 batches of epoch {epoch} are kept; to go on: --resume .*{last}$", line), line
        options = TrainOptions(resume=str(last))
    resumed = train(options)
    assert all(torch.equal(a, b) for a, b in zip(states(whole), states(resumed), strict=True))
    assert resumed.folder.results_csv.read_text() == whole.folder.results_csv.read_text()
    assert resumed.folder.gamma_csv.read_text() == whole.folder.gamma_csv.read_text()


@pytest.mark.parametrize("script", ["train_sparsity.py", "finetune_pruned.py"])
def test_hooks_go_on_where_they_were(given, tmp_path, tiny_model, script):
    start = tmp_path / "start.pt"
    tiny_model.names = {0: "blue", 1: "green", 2: "red"}
    save_checkpoint(start, finished_content(tiny_model))
    given |= {"weights": str(start), "cfg": "", "epochs": 3}
    if script == "train_sparsity.py":
        make_hooks, kind = advised_hooks, SparsityOptions
        given |= {"st": True, "sr": "auto", "target": 0.1, "round": 1}
    else:
        make_hooks, kind = teaching_hooks, FinetuneOptions
        given |= {"teacher": str(start), "unlabelled": str(tmp_path / "set/images/val")}
    whole = train(kind(**given, name="whole"), make_hooks=make_hooks)
    with pytest.raises(Terminated):
        train(kind(**given, name="cut"), hooks=[Stop(signal.SIGTERM, 1, 1)], make_hooks=make_hooks)
    last = RunFolder(Path("runs/cut")).last
    assert load_checkpoint(last).entries["state"]["part"]["first_batch"] in (2, 3)
    resumed = train(kind(resume=str(last)), make_hooks=make_hooks)
    assert all(torch.equal(a, b) for a, b in zip(states(whole), states(resumed), strict=True))
    assert resumed.folder.results_csv.read_text() == whole.folder.results_csv.read_text()
    assert resumed.log == pytest.approx(whole.log)


def test_a_second_signal_does_not_wait(given):
    with pytest.raises(KeyboardInterrupt):
        train(TrainOptions(**given), hooks=[Stop(signal.SIGINT, 0, 0, times=2)])
    assert not RunFolder(Path("runs/exp")).last.exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_during_the_validation_waits_for_the_checkpoint(given):
    class InValidation(Hook):
        def after_epoch(self, run):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(TrainOptions(**given), hooks=[InValidation()])
    entries = load_checkpoint(RunFolder(Path("runs/exp")).last).entries
    assert entries["epoch"] == 0 and "part" not in entries["state"]
