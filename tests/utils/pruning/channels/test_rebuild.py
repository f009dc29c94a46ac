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
from utils.pruning.channels.rebuild import masked, rebuild

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


def test_no_tensor_is_shared_with_the_given_network(tiny_config):
    model = DetectionModel(tiny_config)
    narrow = rebuild(model, trace_channels(model), {})
    places = {t.data_ptr() for t in (*model.parameters(), *model.buffers())}
    assert not places.intersection(t.data_ptr() for t in (*narrow.parameters(), *narrow.buffers()))
    with_attention = nn.Sequential(Conv(3, 8), C3TR(8, 8), nn.Conv2d(8, 2, 1))
    copy = rebuild(with_attention, trace_channels(with_attention), {})
    places = {t.data_ptr() for t in with_attention.state_dict().values()}
    assert not places.intersection(t.data_ptr() for t in copy.state_dict().values())
