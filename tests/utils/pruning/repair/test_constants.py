"""What removed channels leave behind: exact where it can be, the least-squares optimum where not."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.common import SPPF, Bottleneck, BottleneckCSP, C3Ghost, Conv, DWConv
from models.yolo import DetectionModel
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.repair.constants import beta_constants, fold, mean_constants, recalibrate
from utils.pruning.repair.least_squares import least_squares, patches, reconstruct
from utils.pruning.scores.calibration import Calibration

CPU = torch.device("cpu")


def halves(graph, rng):
    masks = {}
    for group in graph.free_groups:
        masks[group.name] = rng.random(group.width) < 0.5
        masks[group.name][0] = True
    return masks


def without_gamma(model, graph, masks):
    """Set gamma, not beta, of all channels that go to zero."""
    removed = [label for g in graph.free_groups if g.name in masks for label in g.labels[~masks[g.name]].tolist()]
    with torch.no_grad():
        for layer in graph.layers.values():
            if not layer.is_conv:
                model.get_submodule(layer.name).weight[torch.from_numpy(np.isin(layer.outputs, removed))] = 0


def pictures(count=6, side=16):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    return Calibration(images, [torch.zeros(0, 5)] * count)


def middle(x):
    return x[..., x.shape[2] // 2, x.shape[3] // 2]


BLOCKS = [
    Conv(16, 16, 1),
    Conv(16, 16, 3),
    Bottleneck(16, 16),
    BottleneckCSP(16, 16, 1),
    C3Ghost(16, 16, 1),
    DWConv(16, 16, 3),
    SPPF(16, 16),
    nn.Sequential(nn.Upsample(scale_factor=2), nn.AvgPool2d(2), Conv(16, 16)),
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: type(b).__name__)
def test_where_gamma_is_zero_the_cut_is_exact_away_from_borders(block, stirred):
    model = stirred(nn.Sequential(Conv(3, 16), block, Conv(16, 8, 1), nn.Conv2d(8, 2, 1)))
    graph = trace_channels(model)
    masks = halves(graph, np.random.default_rng(0))
    without_gamma(model, graph, masks)
    images = torch.rand(2, 3, 32, 32)
    plain, narrow = rebuild(model, graph, masks), rebuild(model, graph, masks)
    fold(narrow, model, graph, masks, beta_constants(model, graph, masks))
    with torch.no_grad():
        wanted, got, as_cut = (middle(network.eval()(images)) for network in (model, narrow, plain))
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
    assert (as_cut - wanted).abs().max() > 1e-2  # without it, something would be missing


def test_a_whole_detector_of_1x1_consumers_and_3x3_ones(tiny_config, stirred):
    model = stirred(DetectionModel(tiny_config))
    graph = trace_channels(model)
    masks = halves(graph, np.random.default_rng(0))
    without_gamma(model, graph, masks)
    narrow = rebuild(model, graph, masks)
    fold(narrow, model, graph, masks, beta_constants(model, graph, masks))
    images = torch.rand(1, 3, 1024, 1024)
    with torch.no_grad():
        for wanted, got in zip(model(images)[1], narrow(images)[1]):
            torch.testing.assert_close(
                middle(got.permute(0, 1, 4, 2, 3)), middle(wanted.permute(0, 1, 4, 2, 3)), atol=1e-3, rtol=1e-3
            )


def test_beta_constants_by_hand():
    model = nn.Sequential(Conv(3, 2), Conv(2, 2), nn.Conv2d(2, 1, 1)).eval()
    with torch.no_grad():
        model[0].bn.bias.copy_(torch.tensor([2.0, -1.0]))
    graph = trace_channels(model)
    constants = beta_constants(model, graph, {"0.conv": np.array([False, True])})
    assert constants["1.conv"][0].item() == pytest.approx(2 / (1 + np.exp(-2)))  # SiLU of 2
    narrow = rebuild(model, graph, {"0.conv": np.array([False, True])})
    fold(narrow, model, graph, {"0.conv": np.array([False, True])}, constants)
    expected = -model[1].conv.weight[:, 0, 0, 0] * 2 / (1 + np.exp(-2))
    torch.testing.assert_close(narrow[1].bn.running_mean, expected.detach(), atol=1e-6, rtol=1e-5)
    assert model[0].bn.weight.tolist() == [1, 1]  # the given network is left alone


def test_means_keep_the_average_output_of_1x1_consumers(stirred):
    model = stirred(nn.Sequential(Conv(3, 8), nn.Conv2d(8, 4, 1)))
    graph, seen = trace_channels(model), pictures()
    masks = {"0.conv": np.arange(8) % 2 == 0}
    narrow = rebuild(model, graph, masks)
    fold(narrow, model, graph, masks, mean_constants(model, graph, seen, CPU))
    images = seen.images.float() / 255
    with torch.no_grad():
        torch.testing.assert_close(narrow(images).mean((0, 2, 3)), model(images).mean((0, 2, 3)), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(narrow(images), model(images), atol=1e-2)


def test_recalibration_gives_the_statistics_of_the_images():
    torch.manual_seed(0)
    model = nn.Sequential(Conv(3, 4), nn.Conv2d(4, 2, 1)).eval()
    seen = pictures()
    momentum = model[0].bn.momentum
    recalibrate(model, seen, CPU)
    with torch.no_grad():
        maps = model[0].conv(seen.images.float() / 255)
    torch.testing.assert_close(model[0].bn.running_mean, maps.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model[0].bn.running_var, maps.var((0, 2, 3)), atol=1e-5, rtol=1e-4)
    assert model[0].bn.momentum == momentum and not model[0].bn.training


def test_least_squares_finds_what_explains_the_target():
    inputs = torch.randn(200, 5)
    true, offset = torch.randn(3, 5), torch.tensor([1.0, -2, 3])
    weights, found = least_squares(inputs, inputs @ true.T + offset, torch.zeros(3, 5), ridge=1e-9)
    torch.testing.assert_close(weights, true, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found, offset, atol=1e-4, rtol=1e-4)
    # Nothing to learn from: the given weights stay.
    kept, _ = least_squares(torch.zeros(50, 5), torch.zeros(50, 3), true)
    torch.testing.assert_close(kept, true)


@pytest.mark.parametrize(
    "conv", [nn.Conv2d(4, 3, 3, 2, 1), nn.Conv2d(4, 3, (1, 3), 1, (0, 1)), nn.Conv2d(4, 3, 3, 1, 2, dilation=2)]
)
def test_patches_are_what_a_convolution_reads(conv):
    x = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        y = conv(x)
    image, row, column = torch.tensor([0, 1, 1]), torch.tensor([0, 2, 4]), torch.tensor([4, 3, 0])
    got = functional.linear(patches(conv, x, (image, row, column)), conv.weight.flatten(1), conv.bias)
    torch.testing.assert_close(got, y[image, :, row, column])


def test_reconstruction_restores_duplicated_channels(stirred):
    # Channels 4 to 7 repeat 0 to 3: without them nothing is lost, but the weights have to be joined.
    model = stirred(nn.Sequential(Conv(3, 8), Conv(8, 8, 3), nn.Conv2d(8, 2, 1)))
    with torch.no_grad():
        for tensor in (model[0].conv.weight, *model[0].bn.state_dict().values()):
            if tensor.dim():
                tensor[4:] = tensor[:4]
    graph, seen = trace_channels(model), pictures()
    masks = {"0.conv": np.arange(8) < 4}
    narrow = rebuild(model, graph, masks)
    images = seen.images.float() / 255
    with torch.no_grad():
        before = (narrow(images) - model(images)).abs().max()
        reconstruct(narrow, model, graph, masks, seen, CPU, torch.Generator().manual_seed(0))
        after = (narrow(images) - model(images)).abs().max()
    assert before > 0.05 and after < 0.01 * before


@pytest.mark.parametrize(
    "block",
    [Bottleneck(16, 16), BottleneckCSP(16, 16, 1), C3Ghost(16, 16, 1), SPPF(16, 16)],
    ids=lambda b: type(b).__name__,
)
def test_reconstruction_comes_nearer_than_means(block, stirred):
    model = stirred(nn.Sequential(Conv(3, 16), block, Conv(16, 8, 3), nn.Conv2d(8, 2, 1)))
    graph, seen = trace_channels(model), pictures()
    masks = halves(graph, np.random.default_rng(0))
    images = seen.images.float() / 255
    mean, fitted = rebuild(model, graph, masks), rebuild(model, graph, masks)
    fold(mean, model, graph, masks, mean_constants(model, graph, seen, CPU))
    reconstruct(fitted, model, graph, masks, seen, CPU, torch.Generator().manual_seed(0))
    with torch.no_grad():
        errors = [float((n(images) - model(images)).square().mean()) for n in (mean, fitted)]
    assert errors[1] < 0.8 * errors[0]


def test_reconstruction_of_an_empty_cut_of_a_detector_changes_next_to_nothing(tiny_config, stirred):
    model = stirred(DetectionModel(tiny_config))
    graph = trace_channels(model)
    narrow = rebuild(model, graph, {})
    before = deepcopy(narrow.state_dict())
    reconstruct(narrow, model, graph, {}, pictures(2, 64), CPU, torch.Generator().manual_seed(0))
    for name, value in narrow.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=1e-3, rtol=1e-3)
