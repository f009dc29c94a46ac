"""The standard-deviation guard of sparse training: which channels are left alone."""

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.pruning.choice.limits import Limits
from utils.pruning.scores.parameters import gamma_scores
from utils.sparsity.fading import FadeOut
from utils.sparsity.goal import Goal
from utils.sparsity.guard import GuardedFadeOut

LOOSE = Limits(1, 1.0, 1)


def uneven(config):
    """Return a network whose gammas are spread within every layer."""
    model = DetectionModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bn.weight"):
                parameter.uniform_(0.1, 1.5)
    return model


def choice(hook, model, scores):
    hook.prepare(model)
    hook.scores = scores(hook.parameters.count)
    hook.choose()
    return hook.keep.numpy()


def test_channels_near_their_layers_mean_stay(tiny_cfg):
    model = uneven(tiny_cfg)
    hook = GuardedFadeOut(Goal("FLOPs", 0.9), LOOSE, 0.5)
    # By the loss all are alike, except those with large gammas, which seem useless.
    keep = choice(hook, model, lambda count: torch.rand(count, generator=torch.Generator().manual_seed(0)))
    groups = hook.parameters.groups
    parts = np.split(~keep, np.cumsum([group.width for group in groups])[:-1])
    gone = {group.name: part for group, part in zip(groups, parts, strict=True)}
    assert sum(map(np.count_nonzero, gone.values())) > 0
    for name, scores in gamma_scores(model, hook.graph).items():
        assert (scores[gone[name]] < scores.mean() - 0.5 * scores.std()).all()


def test_without_a_guard_it_is_fadeout(tiny_cfg):
    model = uneven(tiny_cfg)
    scores = lambda count: torch.rand(count, generator=torch.Generator().manual_seed(0))  # noqa: E731
    plain = choice(FadeOut(Goal("FLOPs", 0.6), LOOSE), model, scores)
    assert (choice(GuardedFadeOut(Goal("FLOPs", 0.6), LOOSE, None), model, scores) == plain).all() and not plain.all()


def test_a_resumed_run_guards_the_same_channels(tiny_cfg):
    hook = GuardedFadeOut(Goal("FLOPs", 0.9), LOOSE, 0.5)
    hook.prepare(uneven(tiny_cfg))
    again = GuardedFadeOut(Goal("FLOPs", 0.9), LOOSE, 0.5)
    again.prepare(DetectionModel(tiny_cfg))  # whose gammas training has changed
    assert not torch.equal(again.guarded, hook.guarded)
    again.load_state_dict(hook.state_dict())
    assert torch.equal(again.guarded, hook.guarded)
