"""What is said after a sparse run: by the numbers of the file that is recommended."""

import shlex
from types import SimpleNamespace

import pytest
import torch

from models.yolo import DetectionModel
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.files.paths import RunFolder
from utils.pruning.channels.rebuild import masked
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.milliseconds import Rates
from utils.pruning.options import PruneOptions
from utils.sparsity.advice import CutAdvice
from utils.sparsity.goal import Goal
from utils.sparsity.preview import PreviewHook
from utils.training.run import RunSettings

ANY = Limits(1, 1.0, 1)


def advice(tmp_path, model, goal, zero=0.0, cut=None):
    """Return the lines about a best_sparse.pt of the model with a share of its channels at zero."""
    preview = PreviewHook(goal, 0, ANY)
    preview.prepare(model)
    if zero:
        chosen = PreviewHook(Goal("channels", zero), 0, ANY)
        chosen.prepare(model)
        model = masked(model, preview.graph, chosen.choose(model)[0])
    folder = RunFolder(tmp_path)
    folder.weights.mkdir()
    save_checkpoint(folder.best_sparse, finished_content(model, cut=cut))
    evaluation = SimpleNamespace(map50=0.9, map=0.6)
    run = SimpleNamespace(folder=folder, written={folder.best_sparse}, settings=RunSettings(64), evaluation=evaluation)
    return CutAdvice([preview], "a b.yaml", PruneOptions.round).closing_lines(run)


@pytest.fixture
def model(tiny_config):
    model = DetectionModel(tiny_config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bn.weight"):
                parameter.uniform_(0.5, 1.5)
    return model


def test_a_network_that_is_not_sparse_enough_is_called_so_first(tmp_path, model):
    first, second, last = advice(
        tmp_path, model, Goal("channels", 0.5), cut={"share": 0.5, "map50": 0.018, "map": 0.009}
    )
    assert first.startswith("not sparse enough for --percent 0.5")
    assert "mAP50 0.018, mAP50-95 0.009 of 0.900 and 0.600" in first
    assert second.startswith("0.0% of the channels are at zero") and "--sr auto --target 0.5" in second
    words = shlex.split(last.removeprefix("next: "))
    assert words[:6] == ["python", "train_sparsity.py", "--st", "--sr", "auto", "--target"] and "a b.yaml" in words


def test_the_share_that_costs_nothing_is_what_goes_on(tmp_path, model):
    lines = advice(tmp_path, model, Goal("channels", 0.5), zero=0.2, cut={"share": 0.5, "map50": 0.1, "map": 0.1})
    assert lines[0].startswith("not sparse enough")
    words = shlex.split(lines[-1].removeprefix("next: "))
    assert words[1] == "prune.py" and words[2] == "--percent" and float(words[3]) == pytest.approx(0.2, abs=0.02)


def test_a_sparse_network_is_described_by_its_own_numbers(tmp_path, model):
    lines = advice(tmp_path, model, Goal("channels", 0.3), zero=0.3, cut={"share": 0.3, "map50": 0.7, "map": 0.5})
    assert lines[1] == "cut with --percent 0.3 --round 1: mAP50 0.700, mAP50-95 0.500 before fine-tuning"
    assert "prune.py --percent 0.3 --round 1" in lines[2] and str(tmp_path) in lines[2]


def test_after_too_weak_a_penalty_the_cut_that_a_time_asks_for_is_named(tmp_path, model):
    rates = Rates((1.0, 1.0, 0.0), 0.0, 1, 64, 0.0)
    lines = advice(tmp_path, model, Goal("time", 0.6, 64, "onnx", rates))
    share = float(lines[0].split("--percent ")[1].split()[0])
    assert 0 < share < 1 and lines[0].startswith("not sparse enough") and "--target-latency 0.6" in lines[1]
