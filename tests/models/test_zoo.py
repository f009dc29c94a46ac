"""The model zoo: every file builds, has the size it should, says its strides, is saved, traced and pruned."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from models.cost import count_gflops, count_parameters
from models.spec import read_yaml
from models.yolo import DetectionModel
from utils.boxes.loss import DetectionLoss
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.hyp import load_hyp
from utils.files.paths import ROOT, find_file
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import masked, rebuild

HUB = ROOT / "models/hub"
P3_TO_P5, P3_TO_P6 = [8, 16, 32], [8, 16, 32, 64]
STRIDES = {
    "yolov3": P3_TO_P5,
    "yolov3-spp": P3_TO_P5,
    "yolov3-tiny": [16, 32],
    "yolov5n6": P3_TO_P6,
    "yolov5s6": P3_TO_P6,
    "yolov5m6": P3_TO_P6,
    "yolov5l6": P3_TO_P6,
    "yolov5x6": P3_TO_P6,
    "yolov5-p2": [4, *P3_TO_P5],
    "yolov5-p6": P3_TO_P6,
    "yolov5-p7": [*P3_TO_P6, 128],
    "yolov5-p34": [8, 16],
    "yolov5-fpn": P3_TO_P5,
    "yolov5-panet": P3_TO_P5,
    "yolov5-bifpn": P3_TO_P5,
    "yolov5s-ghost": P3_TO_P5,
    "yolov5s-transformer": P3_TO_P5,
    "yolov5s-LeakyReLU": P3_TO_P5,
    "yolov5n-light": P3_TO_P5,
}
# What may not be cut besides the predictions, and why. All else, depth-wise and ghost channels included, may.
RESHAPE = "reshape (call_method) in model.8.m (TransformerBlock) has room for just as many"  # the width is a constant
PROTECTED = {"yolov5s-transformer": {"model.8.cv1.conv": RESHAPE}}


# Counting by hand, for 80 classes: weights without bias and a batch norm's gamma and beta, block by block.


def conv(c1, c2, k=1, groups=1):
    return c2 * (c1 // groups) * k * k + 2 * c2


def c3(c1, c2, n):
    h = c2 // 2
    return 2 * conv(c1, h) + conv(2 * h, c2) + n * (conv(h, h) + conv(h, h, 3))


def sppf(c):
    return conv(c, c // 2) + conv(2 * c, c)


def ghost(c1, c2, k=1):
    return conv(c1, c2 // 2, k) + conv(c2 // 2, c2 // 2, 5, groups=c2 // 2)


def c3_ghost(c1, c2, n):
    h = c2 // 2
    return 2 * conv(c1, h) + conv(2 * h, c2) + n * (ghost(h, h // 2) + ghost(h // 2, h))


def detect(*widths):
    return sum(255 * (c + 1) for c in widths)


# Published: the summaries that the public code prints for its own files. L6 is not, but its folded number below is.
S, L, L6 = 7_235_389, 46_563_709, 76_770_172
BEFORE_FOLDING = {
    "yolov3": 61_949_149,  # published summary
    "yolov3-spp": 62_998_749,  # published summary
    "yolov3-tiny": 8_852_366,  # published summary
    "yolov5-panet": L,  # the rows of yolov5l
    "yolov5-p6": L6,  # the rows of yolov5l6
    "yolov5s-LeakyReLU": S,  # activations have no parameters
    # All others by hand. BiFPN: 512 more inputs for the two convolutions of 256 that layer 20 begins with.
    "yolov5-bifpn": L + 512 * 2 * 256,
    # P2: layers 18 to 23 are new, and one scale of Detect.
    "yolov5-p2": L + conv(256, 128) + c3(256, 128, 1) + conv(128, 128, 3) + c3(256, 256, 3) + detect(128),
    # P34: yolov5s without its layers 21 to 23 and the coarsest scale of Detect.
    "yolov5-p34": S - conv(256, 256, 3) - c3(512, 512, 1) - detect(512),
    # P7: the backbone goes on with 1280 channels, the head has one step more in both ways.
    "yolov5-p7": L6
    - sppf(1024)
    + conv(1024, 1280, 3)
    + c3(1280, 1280, 3)
    + sppf(1280)
    + conv(1280, 1024)
    + c3(2048, 1024, 3)
    + conv(1024, 1024, 3)
    + c3(2048, 1280, 3)
    + detect(1280),
    # FPN: the head of yolov5l goes (layers 10, 13, 14, 17 to 23), one without the way back comes.
    "yolov5-fpn": L
    - conv(1024, 512)
    - c3(1024, 512, 3)
    - conv(512, 256)
    - c3(512, 256, 3)
    - conv(256, 256, 3)
    - c3(512, 512, 3)
    - conv(512, 512, 3)
    - c3(1024, 1024, 3)
    + c3(1024, 1024, 3)
    + conv(1536, 512)
    + c3(512, 512, 3)
    + conv(768, 256)
    + c3(256, 256, 3),
    # Transformer: for the bottleneck of layer 8 a position term and one layer of q, k, v, attention (four matrices with
    # biases), fc1 and fc2, all of 256 channels.
    "yolov5s-transformer": S - conv(256, 256) - conv(256, 256, 3) + 10 * 256**2 + 5 * 256,
    "yolov5s-ghost": conv(3, 32, 6)
    + ghost(32, 64, 3)
    + c3_ghost(64, 64, 1)
    + ghost(64, 128, 3)
    + c3_ghost(128, 128, 2)
    + ghost(128, 256, 3)
    + c3_ghost(256, 256, 3)
    + ghost(256, 512, 3)
    + c3_ghost(512, 512, 1)
    + sppf(512)
    + ghost(512, 256)
    + c3_ghost(512, 256, 1)
    + ghost(256, 128)
    + c3_ghost(256, 128, 1)
    + ghost(128, 128, 3)
    + c3_ghost(256, 256, 1)
    + ghost(256, 256, 3)
    + c3_ghost(512, 512, 1)
    + detect(128, 256, 512),
    "yolov5n-light": conv(3, 16, 3)
    + conv(16, 32, 3)
    + c3(32, 32, 1)
    + conv(32, 32, 3, 32)
    + conv(32, 64)
    + c3(64, 64, 1)
    + conv(64, 64, 3, 64)
    + conv(64, 128)
    + c3_ghost(128, 128, 2)
    + conv(128, 128, 3, 128)
    + conv(128, 256)
    + c3_ghost(256, 256, 1)
    + sppf(256)
    + conv(256, 128)
    + c3_ghost(256, 128, 1)
    + conv(128, 64)
    + c3_ghost(128, 64, 1)
    + conv(64, 64, 3, 64)
    + c3_ghost(128, 128, 1)
    + conv(128, 128, 3, 128)
    + c3_ghost(256, 256, 1)
    + detect(64, 128, 256),
}
# Published summaries of the public weights, batch norms folded.
AFTER_FOLDING = {"yolov3": 61_922_845, "yolov5s6": 12_612_508, "yolov5l6": 76_726_332, "yolov5-panet": 46_533_693}
# Published tables, rounded: the README's table of models and, for ghost, the comparison it was introduced with.
MILLIONS = {"yolov5n6": 3.2, "yolov5s6": 12.6, "yolov5m6": 35.7, "yolov5x6": 140.7, "yolov5s-ghost": 3.9}


@cache
def full_counts(name):
    """Return the parameters of a zoo file as it is, before and after folding batch norms."""
    with torch.device("meta"):
        model = DetectionModel(HUB / f"{name}.yaml")
    before = count_parameters(model)
    return before, before - sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))


@cache
def small(name):
    """Return (network of an eighth of the width, few repeats, three classes, telling numbers; its ChannelGraph)."""
    torch.manual_seed(0)
    config = {**read_yaml(HUB / f"{name}.yaml"), "width_multiple": 0.125, "depth_multiple": 0.33}
    model = DetectionModel(config, nc=3)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(1.0, 2.0)
                module.bias.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.2, 0.4)  # so that signals do not fade on their way through the network
    return model.eval(), trace_channels(model)


def half(graph, seed=0):
    """Return masks that keep a random half of every free group."""
    rng = np.random.default_rng(seed)
    return {group.name: rng.permutation(group.width) < (group.width + 1) // 2 for group in graph.free_groups}


def outputs(model, size=128):
    """Return (predictions, raw outputs) on a fixed image."""
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(image)


def largest_difference(first, second):
    return max((a - b).abs().max().item() for a, b in zip(first, second))


def test_every_file_is_tested():
    assert {path.stem for path in HUB.iterdir()} == set(STRIDES)
    assert find_file("yolov3.yaml", "models", "models/hub") == HUB / "yolov3.yaml"


@pytest.mark.parametrize("name", BEFORE_FOLDING)
def test_parameters(name):
    assert full_counts(name)[0] == BEFORE_FOLDING[name]


@pytest.mark.parametrize("name", AFTER_FOLDING)
def test_parameters_with_folded_norms(name):
    assert full_counts(name)[1] == AFTER_FOLDING[name]


@pytest.mark.parametrize("name", MILLIONS)
def test_parameters_in_millions(name):
    assert round(full_counts(name)[1] / 1e6, 1) == MILLIONS[name]


@pytest.mark.parametrize("name", STRIDES)
def test_strides_and_shapes(name):
    model, _ = small(name)
    assert model.stride.tolist() == STRIDES[name]
    predictions, raw = outputs(model)
    assert [tuple(y.shape) for y in raw] == [(1, 3, 128 // s, 128 // s, 8) for s in STRIDES[name]]
    assert predictions.shape == (1, sum(3 * (128 // s) ** 2 for s in STRIDES[name]), 8)
    assert predictions.isfinite().all()


@pytest.mark.parametrize("name", STRIDES)
def test_what_is_protected_and_why(name):
    _, graph = small(name)
    protected = {group.name: group.protected for group in graph.groups if group.protected}
    heads = [group for group, reason in protected.items() if reason == "its outputs are the predictions"]
    assert len(heads) == len(STRIDES[name])
    assert {group: protected[group] for group in protected if group not in heads} == PROTECTED.get(name, {})


@pytest.mark.parametrize("name", STRIDES)
def test_the_rebuilt_network_gives_what_the_masked_one_gives(name):
    model, graph = small(name)
    silent, narrow = masked(model, graph, half(graph)), rebuild(model, graph, half(graph))
    expected = outputs(silent)[1]
    assert largest_difference(expected, outputs(model)[1]) > 0.1  # the cut is felt
    assert largest_difference(expected, outputs(narrow)[1]) < 1e-4
    assert count_parameters(narrow) < 0.4 * count_parameters(model)


@pytest.mark.parametrize("cut", [False, True], ids=["dense", "pruned"])
@pytest.mark.parametrize("name", STRIDES)
def test_what_is_saved_loads_with_the_same_output(name, cut, tmp_path):
    model, graph = small(name)
    content = finished_content(rebuild(model, graph, half(graph)) if cut else model)
    save_checkpoint(tmp_path / "x.pt", content)
    loaded = load_checkpoint(tmp_path / "x.pt").model
    assert torch.equal(outputs(loaded)[0], outputs(content["model"].float())[0])


def test_leaky_relus_replace_every_silu_and_come_back_from_a_file(tmp_path):
    model, _ = small("yolov5s-LeakyReLU")
    save_checkpoint(tmp_path / "x.pt", finished_content(model))
    for network in (model, load_checkpoint(tmp_path / "x.pt").model):
        kinds = [m for m in network.modules() if isinstance(m, (nn.SiLU, nn.LeakyReLU))]
        assert kinds and all(isinstance(m, nn.LeakyReLU) and m.negative_slope == 0.1 for m in kinds)


def test_images_suit_the_backbone_where_detect_stops_before_its_end():
    model, _ = small("yolov5-p34")
    assert model.size_multiple == 32 and small("yolov5-p7")[0].size_multiple == 128
    with torch.no_grad():
        predictions, _ = model(torch.rand(1, 3, 128, 128), augment=True)
    assert predictions.isfinite().all()


def test_anchors_left_open_have_no_size_of_zero():
    detect_layer = small("yolov5-p2")[0].model[-1]
    assert detect_layer.na == 3 and (detect_layer.anchors > 0).all()


def test_the_light_network_is_light_and_learns():
    model = DetectionModel(HUB / "yolov5n-light.yaml", nc=3)
    ordinary = DetectionModel(ROOT / "models/yolov5n.yaml", nc=3)
    assert count_parameters(model) < 0.5 * count_parameters(ordinary)
    assert count_gflops(model, 640) < 0.55 * count_gflops(ordinary, 640)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.5], [1, 2, 0.3, 0.6, 0.2, 0.2]])
    loss = DetectionLoss(model, load_hyp("hyp.scratch-low.yaml") | {"label_smoothing": 0.0})
    optimizer = torch.optim.AdamW(model.parameters(), 0.005)
    parts = []
    for _ in range(10):
        total, each = loss(model.train()(images), targets)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        parts.append(each)
    assert (parts[-1] < 0.8 * parts[0]).all()  # box, objectness, class
