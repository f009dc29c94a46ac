"""The golden rule: the rebuilt network gives what the original gives with removed channels' gamma and beta at zero."""

import numpy as np
import pytest
import torch
from torch import nn

from models.common import (
    C3,
    C3SPP,
    C3TR,
    SPP,
    SPPF,
    Bottleneck,
    BottleneckCSP,
    C3Ghost,
    C3x,
    Conv,
    CrossConv,
    DWConv,
    Focus,
    GhostBottleneck,
    GhostConv,
)
from models.cost import count_parameters
from models.yolo import DetectionModel
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import masked, rebuild, removed_labels, widened

BLOCKS = [
    Bottleneck(16, 16),
    Bottleneck(16, 12),
    BottleneckCSP(16, 16, 2),
    C3(16, 16, 2),
    C3Ghost(16, 16),
    C3SPP(16, 16),
    C3TR(16, 16),
    C3x(16, 16),
    CrossConv(16, 16, shortcut=True),
    DWConv(16, 16, 3),
    DWConv(16, 32, 3),
    Focus(16, 16),
    GhostBottleneck(16, 16),
    GhostBottleneck(16, 16, s=2),
    GhostConv(16, 16),
    SPP(16, 16),
    SPPF(16, 16),
]


def random_masks(graph, rng, share=0.5):
    """Return masks that keep about `share` of every free group, at least one channel."""
    masks = {}
    for group in graph.free_groups:
        masks[group.name] = rng.random(group.width) < share
        masks[group.name][rng.integers(group.width)] = True
    return masks


def raw_outputs(model, images):
    with torch.no_grad():
        outputs = model(images)
    return outputs[1] if isinstance(outputs, tuple) else [outputs]


def assert_golden(model, masks, images):
    """Check the rule for one cut and return the narrower network."""
    graph = trace_channels(model)
    masks = masks(graph)
    silent, narrow = masked(model, graph, masks), rebuild(model, graph, masks)
    for expected, got in zip(raw_outputs(silent, images), raw_outputs(narrow, images)):
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    return narrow


@pytest.mark.slow
@pytest.mark.parametrize("size", "nsmlx")
def test_every_yolov5_after_one_and_after_two_rounds(size, stirred):
    model = stirred(DetectionModel(ROOT / f"models/yolov5{size}.yaml"))
    images, rng = torch.rand(1, 3, 64, 64), np.random.default_rng(0)
    once = assert_golden(model, lambda graph: random_masks(graph, rng), images)
    twice = assert_golden(once, lambda graph: random_masks(graph, rng), images)
    assert count_parameters(twice) < count_parameters(once) < 0.4 * count_parameters(model)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: type(b).__name__)
def test_every_block(block, stirred):
    with torch.no_grad():
        out = block.eval()(torch.zeros(1, 16, 8, 8)).shape[1]
    model = stirred(nn.Sequential(Conv(3, 16), block, Conv(out, 8, 3), nn.Conv2d(8, 2, 1)))
    rng = np.random.default_rng(0)
    for _ in range(3):
        assert_golden(model, lambda graph: random_masks(graph, rng), torch.rand(2, 3, 16, 16))


def test_one_channel_left_in_every_layer(tiny_config, stirred):
    def only_the_third(graph):
        return {group.name: np.arange(group.width) == min(2, group.width - 1) for group in graph.free_groups}

    model = stirred(DetectionModel(tiny_config))
    narrow = assert_golden(model, only_the_third, torch.rand(1, 3, 64, 64))
    widths = {m.out_channels for name, m in narrow.named_modules() if isinstance(m, nn.Conv2d) and ".24." not in name}
    assert widths == {1}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: type(b).__name__)
def test_a_changed_narrow_network_at_the_old_widths(block, stirred):
    with torch.no_grad():
        out = block.eval()(torch.zeros(1, 16, 8, 8)).shape[1]
    model = stirred(nn.Sequential(Conv(3, 16), block, Conv(out, 8, 3), nn.Conv2d(8, 2, 1)))
    graph, images = trace_channels(model), torch.rand(2, 3, 16, 16)
    masks = random_masks(graph, np.random.default_rng(0))
    narrow = rebuild(model, graph, masks)
    with torch.no_grad():
        for parameter in narrow.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    wide = widened(narrow, model, graph, masks)
    shapes = [[value.shape for value in each.state_dict().values()] for each in (wide, model)]
    assert shapes[0] == shapes[1]
    torch.testing.assert_close(raw_outputs(wide, images), raw_outputs(narrow, images), atol=1e-4, rtol=1e-4)
    again = rebuild(wide, graph, masks).state_dict()
    assert all(torch.equal(again[name], value) for name, value in narrow.state_dict().items())


def test_an_empty_cut_changes_nothing(tiny_config, stirred):
    model = stirred(DetectionModel(tiny_config))
    narrow = rebuild(model, trace_channels(model), {})
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), narrow.state_dict().values()))


def test_the_given_network_is_left_alone(tiny_config, stirred):
    model = stirred(DetectionModel(tiny_config))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    graph = trace_channels(model)
    rebuild(model, graph, random_masks(graph, np.random.default_rng(0)))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_counts_of_a_cut_by_hand():
    model = nn.Sequential(Conv(3, 4), Conv(4, 6, 3), nn.Conv2d(6, 2, 1))
    keep = {"0.conv": np.array([True, False, True, True]), "1.conv": np.array([False, False, True, True, True, True])}
    narrow = rebuild(model, trace_channels(model), keep)
    # 1×1: 3·3 + gamma and beta 6; 3×3: 9·3·4 + 8; last: 4·2 + 2
    assert count_parameters(narrow) == 9 + 6 + 108 + 8 + 10
    assert torch.equal(narrow[1].conv.weight, model[1].conv.weight[2:][:, [0, 2, 3]])
    assert torch.equal(narrow[0].bn.running_mean, model[0].bn.running_mean[[0, 2, 3]])


def test_layers_and_their_norms_fall_silent():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), Conv(4, 4), nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 2, 1))
    graph = trace_channels(model)
    keep = {name: np.array([True, False, True, True]) for name in ("0", "2.conv", "3")}
    silent = masked(model, graph, keep)
    before, after = model.state_dict(), silent.state_dict()
    changed = {name: (before[name] != after[name]).flatten(1 if before[name].dim() > 1 else 0) for name in before}
    rows = {
        name: differs.reshape(len(before[name]), -1).any(1).nonzero()[:, 0].tolist()
        for name, differs in changed.items()
        if before[name].dim()
    }
    touched = {"0.weight", "0.bias", "2.conv.weight", "2.bn.weight", "3.weight"}
    assert {name for name, where in rows.items() if where} == touched
    assert all(where in ([], [1]) for where in rows.values())
    assert not after["0.weight"][1].any() and after["0.bias"][1] == after["2.bn.weight"][1] == 0
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(rebuild(model, graph, keep).eval()(image), silent.eval()(image))


def test_a_network_without_batch_norms_is_silenced_and_rebuilt():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
    graph = trace_channels(model)
    keep = {"0": np.array([False, True, True, False])}
    assert removed_labels(graph, keep).tolist() == graph.layers["0"].outputs[[0, 3]].tolist()
    assert removed_labels(graph, {}).tolist() == [] and removed_labels(graph, {}).dtype == np.int64
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(rebuild(model, graph, keep)(image), masked(model, graph, keep)(image))


def test_the_narrower_layers_say_their_widths():
    model = nn.Sequential(Conv(3, 8), Conv(8, 8, 3, g=8), Conv(8, 6), nn.Conv2d(6, 2, 1))
    keep = {"0.conv": np.arange(8) < 5, "2.conv": np.arange(6) % 2 == 0}
    narrow = rebuild(model, trace_channels(model), keep)
    convs = [m for m in narrow.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.groups) for c in convs] == [(3, 5, 1), (5, 5, 5), (5, 3, 1), (3, 2, 1)]
    assert [m.num_features for m in narrow.modules() if isinstance(m, nn.BatchNorm2d)] == [5, 5, 3]
    assert [c.groups for c in model.modules() if isinstance(c, nn.Conv2d)] == [1, 8, 1, 1]


def test_what_is_frozen_stays_frozen_and_parameter_counts_follow(tiny_config):
    model = DetectionModel(tiny_config)
    model.model[0].requires_grad_(False)
    model.model[1].bn.bias.requires_grad_(False)
    graph = trace_channels(model)
    narrow = rebuild(model, graph, random_masks(graph, np.random.default_rng(0)))
    still = {name: p.requires_grad for name, p in model.named_parameters()}
    assert {name: p.requires_grad for name, p in narrow.named_parameters()} == still
    assert [layer.np for layer in narrow.model] == [count_parameters(layer) for layer in narrow.model]
    assert all(isinstance(p, nn.Parameter) and p.is_leaf for p in narrow.parameters())


def test_no_tensor_is_shared_with_the_given_network(tiny_config):
    model = DetectionModel(tiny_config)
    narrow = rebuild(model, trace_channels(model), {})
    places = {t.data_ptr() for t in (*model.parameters(), *model.buffers())}
    assert not places.intersection(t.data_ptr() for t in (*narrow.parameters(), *narrow.buffers()))
    with_attention = nn.Sequential(Conv(3, 8), C3TR(8, 8), nn.Conv2d(8, 2, 1))
    copy = rebuild(with_attention, trace_channels(with_attention), {})
    places = {t.data_ptr() for t in with_attention.state_dict().values()}
    assert not places.intersection(t.data_ptr() for t in copy.state_dict().values())
