"""What a cut would leave, looked at during sparse training."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import RunFolder
from utils.pruning.channels.rebuild import masked, rebuild
from utils.pruning.choice.limits import Limits
from utils.sparsity.goal import Goal
from utils.sparsity.preview import PreviewHook
from utils.training.distributed import ProcessGroup

ANY = Limits(1, 1.0, 1)


@dataclass
class Score:
    """Stands for an Evaluation."""

    map50: float
    map: float

    @property
    def fitness(self):
        return self.map


@pytest.fixture
def run(tiny_config, tmp_path):
    model = DetectionModel(tiny_config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bn.weight"):
                parameter.uniform_(0.5, 1.5)
    (tmp_path / "weights").mkdir()
    return SimpleNamespace(
        ema=SimpleNamespace(model=model),
        processes=ProcessGroup(),
        folder=RunFolder(tmp_path),
        log={},
        epoch=0,
        last_epoch=False,
        evaluation=Score(0.9, 0.8),
        measured=[],
        measure=None,
        written=set(),
    )


def started(run, period=2):
    hook = PreviewHook(Goal("channels", 0.3), period, ANY)
    hook.prepare(run.ema.model)
    run.measure = lambda model: run.measured.append(model) or Score(0.1 * len(run.measured), 0.05 * len(run.measured))
    return hook


def test_the_logged_sizes_are_those_of_the_cut(run):
    hook = started(run)
    hook.after_validation(run)
    keep, threshold = hook.choose(run.ema.model)
    cut = rebuild(run.ema.model, hook.graph, keep)
    assert run.log["preview/parameters"] == count_parameters(cut)
    assert run.log["preview/GFLOPs"] == pytest.approx(count_gflops(cut), rel=1e-6)
    assert run.log["sparsity/threshold"] == threshold > 0.5
    assert run.log["sparsity/share_dead"] == 0
    assert not run.measured and "preview/mAP_0.5" not in run.log  # not due


def test_a_due_cut_is_measured_with_its_channels_masked_but_kept_with_the_weights_that_were_trained(run):
    hook = started(run)
    for run.epoch in range(4):
        hook.after_validation(run)
    assert len(run.measured) == 2  # epochs 1 and 3
    assert run.log["preview/mAP_0.5"] == 0.2
    keep, _ = hook.choose(run.ema.model)
    assert all(hook.changes_nothing(model, keep) for model in run.measured)
    saved = load_checkpoint(run.folder.best_sparse)
    trained = run.ema.model.half().float().state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in saved.model.state_dict().items())
    assert saved.entries["cut"]["share"] == pytest.approx(0.3, abs=0.01)
    assert (saved.entries["cut"]["map50"], saved.entries["cut"]["map"]) == (0.2, 0.1)


def test_only_a_better_cut_replaces_the_best(run):
    hook = started(run, period=1)
    scores = iter([0.3, 0.5, 0.4])
    run.measure = lambda model: Score(0.9, next(scores))
    for run.epoch in range(3):
        hook.after_validation(run)
    assert hook.best == 0.5 and load_checkpoint(run.folder.best_sparse).entries["cut"]["map"] == 0.5


def test_a_network_that_is_not_finite_is_not_kept(run):
    hook = started(run, period=1)
    run.ema.model.model[-1].m[0].bias.data[0] = torch.inf
    hook.after_validation(run)
    assert not run.folder.best_sparse.exists()


def test_a_goal_beyond_the_limits_is_tried_as_far_as_they_allow(run):
    hook = PreviewHook(Goal("channels", 0.97), 0, Limits(4, 0.5, 1))
    hook.prepare(run.ema.model)
    keep, _ = hook.choose(run.ema.model)
    assert sum(int((~mask).sum()) for mask in keep.values()) > 0
    assert all(mask.sum() >= min(4, len(mask)) for mask in keep.values())


@pytest.mark.parametrize("period", [2, 0])
def test_a_cut_that_changes_nothing_is_kept_without_being_measured_again(run, period):
    hook = started(run, period)
    keep, _ = hook.choose(run.ema.model)
    run.ema.model = masked(run.ema.model, hook.graph, keep)
    hook.after_validation(run)
    assert not run.measured
    assert run.log["preview/mAP_0.5"] == 0.9 and run.folder.best_sparse.is_file()


def test_the_best_survives_a_resumed_run(run):
    hook = started(run)
    hook.best = 0.7
    again = started(run)
    again.load_state_dict(hook.state_dict())
    assert again.best == 0.7
