"""Residual branches: found by structure, scored by what changes, replaced by Identity, and files that still load."""

import numpy as np
import pytest
import torch
from torch import nn

from models.common import C3, C3TR, SPPF, Bottleneck, BottleneckCSP, C3Ghost, C3x, Conv, CrossConv, GhostBottleneck
from models.cost import count_parameters
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import masked, rebuild
from utils.pruning.structure.branches import (
    branch_count,
    drop_branches,
    output_changes,
    residual_blocks,
    silent_branches,
    weakest,
)

# Backbone blocks have shortcuts; repeats 3, 6, 9, 3 times a third are 1, 2, 3, 1.
YOLOV5N = ["model.2.m.0", "model.4.m.0", "model.4.m.1", "model.6.m.0", "model.6.m.1", "model.6.m.2", "model.8.m.0"]


class Scaled(nn.Module):
    """A block that no zoo has: the branch comes first in the sum, the input is scaled in `plain`."""

    def __init__(self, plain):
        super().__init__()
        self.conv, self.plain = nn.Conv2d(4, 4, 3, padding=1), plain

    def forward(self, x):
        return self.conv(x) + (x if self.plain else 2 * x)


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (Bottleneck(8, 8), [""]),
        (Bottleneck(8, 8, shortcut=False), []),
        (Bottleneck(8, 16), []),
        (CrossConv(8, 8, shortcut=True), [""]),
        (GhostBottleneck(8, 8), [""]),
        (GhostBottleneck(8, 8, s=2), []),
        (C3(8, 8, 2), ["m.0", "m.1"]),
        (C3(8, 8, 2, False), []),
        (C3x(8, 8, 1), ["m.0"]),
        (C3Ghost(8, 8, 1), ["m.0"]),
        (BottleneckCSP(8, 8, 1), ["m.0"]),
        (C3TR(8, 8, 1), []),
        (SPPF(8, 8), []),
        (Conv(8, 8), []),
        (Scaled(True), [""]),
        (Scaled(False), []),
    ],
)
def test_what_returns_its_input_plus_a_branch(module, found):
    assert list(residual_blocks(module)) == found


def test_blocks_of_models(tiny_config):
    model = DetectionModel(tiny_config)
    assert list(residual_blocks(model)) == YOLOV5N
    assert (
        len(residual_blocks(DetectionModel(ROOT / "models/hub/yolov3.yaml"))) == 1 + 2 + 8 + 8 + 4
    )  # those of Darknet-53
    assert list(residual_blocks(drop_branches(model, YOLOV5N[1:]))) == YOLOV5N[:1]


def images(count=1):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def raw(model):
    with torch.no_grad():
        return model.eval()(images())[1]


def test_without_its_branch_a_block_hands_its_input_on(tiny_config, stirred, tmp_path):
    model = stirred(DetectionModel(tiny_config))
    zeroed = drop_branches(model, [])
    for name in YOLOV5N[2:5]:
        norm = zeroed.get_submodule(name).cv2.bn
        nn.init.zeros_(norm.weight), nn.init.zeros_(norm.bias)
    short = drop_branches(model, YOLOV5N[2:5])
    for want, got in zip(raw(zeroed), raw(short), strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert all(type(short.get_submodule(name)) is nn.Identity for name in YOLOV5N[2:5])
    lost = sum(count_parameters(model.get_submodule(name)) for name in YOLOV5N[2:5])
    assert count_parameters(short) == count_parameters(model) - lost
    assert short.model[4].np == count_parameters(short.model[4])
    content = finished_content(short)
    save_checkpoint(tmp_path / "x.pt", content)
    again = load_checkpoint(tmp_path / "x.pt").model
    for want, got in zip(raw(content["model"].float()), raw(again), strict=True):
        assert torch.equal(want, got)
    save_checkpoint(tmp_path / "y.pt", finished_content(again))  # and what was read can be written
    assert silent_branches(load_checkpoint(tmp_path / "y.pt").model) == []


@pytest.mark.parametrize("name", ["yolov3", "yolov5n-light", "yolov5s-ghost"])
def test_blocks_of_other_kinds_load_and_are_pruned_further(name, tmp_path):
    path = next(ROOT.glob(f"models/hub/{name}.yaml"))
    model = DetectionModel(path, nc=1).eval()
    blocks = list(residual_blocks(model))
    save_checkpoint(tmp_path / "x.pt", finished_content(drop_branches(model, blocks)))
    short = load_checkpoint(tmp_path / "x.pt").model
    assert residual_blocks(short) == {} and len(blocks) > 3
    graph = trace_channels(short)
    keep = {group.name: np.arange(group.width) % 2 == 0 for group in graph.free_groups}
    for want, got in zip(raw(masked(short, graph, keep)), raw(rebuild(short, graph, keep)), strict=True):
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_silent_branches_are_found_and_dropping_them_changes_nothing(tiny_config, stirred):
    model = stirred(DetectionModel(tiny_config))
    assert silent_branches(model) == []
    for name, both in zip(YOLOV5N[1:4], (True, False, True)):
        norm = model.get_submodule(name).cv2.bn
        nn.init.zeros_(norm.weight)
        if both:
            nn.init.zeros_(norm.bias)
    assert silent_branches(model) == [YOLOV5N[1], YOLOV5N[3]]  # the one between still adds act(beta)
    for want, got in zip(raw(model), raw(drop_branches(model, silent_branches(model))), strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_a_ghost_branch_is_silent_when_both_halves_are(stirred):
    model = stirred(nn.Sequential(GhostBottleneck(8, 8)))
    last = model[0].conv[2]
    for norm in (last.cv1.bn, last.cv2.bn):
        assert silent_branches(model) == []
        nn.init.zeros_(norm.weight), nn.init.zeros_(norm.bias)
    assert silent_branches(model) == ["0"]


def test_scores_by_what_changes(tiny_config, stirred):
    model = stirred(DetectionModel(tiny_config))
    with torch.no_grad():
        for name, factor in zip(YOLOV5N, (1, 0, 1, 1e-3, 1, 1, 1)):
            norm = model.get_submodule(name).cv2.bn
            norm.weight *= factor
            norm.bias *= factor
    scores = output_changes(model, YOLOV5N, [images(2), images(1)])
    assert list(scores) == YOLOV5N and scores[YOLOV5N[1]] == 0
    assert weakest(scores, 2) == [YOLOV5N[1], YOLOV5N[3]]
    alone = raw(drop_branches(model, [YOLOV5N[0]]))
    by_hand = [((g - e) ** 2).mean((0, 2, 3)) / e.var((0, 2, 3)) for e, g in zip(raw(model), alone)]
    assert output_changes(model, YOLOV5N[:1], [images()])[YOLOV5N[0]] == pytest.approx(
        float(sum(r.mean() for r in by_hand) / 3), rel=1e-4
    )
    assert not model.get_submodule(YOLOV5N[0])._forward_hooks


def test_how_many_blocks():
    assert [branch_count(amount, 7) for amount in ("0", "2", "7", "0.25", "0.5", "0.0")] == [0, 2, 7, 2, 4, 0]
    for amount in ("8", "-1", "1.5", "nan", "all", "1.0"):
        with pytest.raises(InputError, match=f"{amount}"):
            branch_count(amount, 7)
