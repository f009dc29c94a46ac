"""Networks that are no detectors: what is cut equals what is silenced, on random graphs and torchvision's networks."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.ops import FrozenBatchNorm2d

from utils.errors import InputError
from yolov5_slim.networks import channels, cut, score, select

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

IMAGE = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
WIDTH = 8  # of every map, so that any step fits behind any other


class Excite(nn.Module):
    """Squeeze and excitation: a gate for each channel from the means of all."""

    def __init__(self):
        super().__init__()
        self.squeeze, self.excite = nn.Linear(WIDTH, 4), nn.Linear(4, WIDTH)

    def forward(self, x):
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


class Function(nn.Module):
    """A function of a map, with layers that it may use."""

    def __init__(self, function, **layers):
        super().__init__()
        self.layers, self.function = nn.ModuleDict(layers), function

    def forward(self, x):
        return self.function(x, **dict(self.layers.items()))


def shuffle(x):
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def parted(x, conv):
    first, second = x.chunk(2, 1)
    return torch.cat((first, conv(second)), 1)


def listed(x, conv):
    pieces = list(x.chunk(2, 1))
    pieces.extend(conv(pieces[-1]) for _ in range(2))
    return torch.cat(pieces, 1)


def tokens(x, first, second):
    y = second(functional.gelu(first(x.flatten(2).transpose(1, 2))))
    return x + y.transpose(1, 2).unflatten(2, (16, 16))


class Scale(nn.Module):
    """A parameter for each channel, times or plus a map."""

    def __init__(self, function, *shape):
        super().__init__()
        self.numbers, self.function = nn.Parameter(torch.rand(*shape) + 0.5), function

    def forward(self, x):
        return self.function(x, self.numbers)


class ChannelNorm(nn.LayerNorm):
    """A layer norm of the channels of a map [B, C, H, W]."""

    def forward(self, x):
        y = functional.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


def last(x, norm):
    return norm(x.movedim(1, -1)).movedim(-1, 1)


def attend(x, attention):
    tokens = x.flatten(2).transpose(1, 2)
    return x + attention(tokens, tokens, tokens)[0].transpose(1, 2).unflatten(2, (16, 16))


STEPS = {
    "convolution": lambda: nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.SiLU()),
    "groups of places": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=2),
    "whole groups": lambda: nn.Conv2d(WIDTH, WIDTH, 1, groups=4),
    "depth-wise": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH),
    "transposed": lambda: nn.ConvTranspose2d(WIDTH, WIDTH, 3, padding=1),
    "group norm": lambda: nn.GroupNorm(4, WIDTH),
    "group norm of one group": lambda: nn.GroupNorm(1, WIDTH),
    "layer norm": lambda: Function(last, norm=nn.LayerNorm(WIDTH)),
    "layer norm without weights": lambda: Function(last, norm=nn.LayerNorm(WIDTH, elementwise_affine=False)),
    "own layer norm": lambda: ChannelNorm(WIDTH),
    "RMS norm": lambda: Function(last, norm=nn.RMSNorm(WIDTH)),
    "layer norm of pixels": lambda: nn.LayerNorm(16),
    "scale": lambda: Scale(lambda x, numbers: numbers * x, WIDTH, 1, 1),
    "reshaped scale": lambda: Scale(lambda x, numbers: x * numbers.reshape(1, -1, 1, 1), WIDTH),
    "positions": lambda: Scale(lambda x, numbers: x + numbers, 1, WIDTH, 16, 16),
    "scale of columns": lambda: Scale(lambda x, numbers: x * numbers, 16),
    "frozen batch norm": lambda: FrozenBatchNorm2d(WIDTH),
    "excitation": Excite,
    "residual": lambda: Function(lambda x, conv: x + conv(x), conv=nn.Conv2d(WIDTH, WIDTH, 1)),
    "shuffle": lambda: Function(shuffle),
    "chunks": lambda: Function(parted, conv=nn.Conv2d(WIDTH // 2, WIDTH // 2, 1)),
    "list of chunks": lambda: nn.Sequential(
        Function(listed, conv=nn.Conv2d(WIDTH // 2, WIDTH // 2, 1)), nn.Conv2d(2 * WIDTH, WIDTH, 1)
    ),
    "pixels": lambda: Function(lambda x: functional.pixel_unshuffle(functional.pixel_shuffle(x, 2), 2)),
    "tokens": lambda: Function(tokens, first=nn.Linear(WIDTH, 6), second=nn.Linear(6, WIDTH)),
    "heads": lambda: Function(attend, attention=nn.MultiheadAttention(WIDTH, 4, batch_first=True)),
    "places of heads": lambda: Function(attend, attention=nn.MultiheadAttention(WIDTH, 2, batch_first=True)),
    "unit length": lambda: Function(lambda x: functional.normalize(x)),
    "constant": lambda: Function(lambda x: x + 1),
    "slice": lambda: Function(lambda x, conv: conv(x[:, 3:]), conv=nn.Conv2d(WIDTH - 3, WIDTH, 1)),
    "not understood": lambda: Function(lambda x: x.flip(1)),
}


def network(names):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, WIDTH, 1), *(STEPS[name]() for name in names))
    model = nn.Sequential(body, nn.Conv2d(WIDTH, 4, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)) and module.weight is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
@hypothesis.given(st.lists(st.sampled_from(list(STEPS)), max_size=5), st.data())
def test_any_chain_of_steps_is_cut_as_it_is_silenced(names, data):
    model = network(names)
    graph = channels(model, IMAGE)
    keep = {}
    for group in graph.free_groups:
        keep[group.name] = np.array(data.draw(st.lists(st.booleans(), min_size=group.width, max_size=group.width)))
        keep[group.name][data.draw(st.integers(0, group.width - 1))] = True
    narrow = cut(model, graph, keep, IMAGE)  # raises when the outputs differ
    gone = sum(int((~mask).sum()) for mask in keep.values())
    assert (sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in model.parameters())) == (gone > 0)


@pytest.mark.parametrize("name", STEPS)
def test_every_step_alone_says_what_it_protects(name):
    graph = channels(network([name]), IMAGE)
    reasons = {group.protected for group in graph.groups if group.protected and "predictions" not in group.protected}
    words = {
        "layer norm of pixels": "does not work along the channels alone",
        "constant": "add at add in 0.1 (Function) is not zero at zero",
        "slice": "has fixed bounds",
        "not understood": "flip (call_method) in 0.1 (Function) is not understood",
    }
    assert len(reasons) == (name in words) and all(words[name] in reason for reason in reasons)


TORCHVISION = (
    "convnext_tiny",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "swin_t",
)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_lose_a_third_of_their_flops(name):
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None)
    image = torch.rand(1, 3, 64, 64)
    graph = channels(model, image)
    keep = select(model, graph, score(model, graph), 0.2 if name == "swin_t" else 0.33)
    narrow = cut(model, graph, keep, image)
    assert model.training and type(narrow) is type(model)
    assert sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in model.parameters())


def test_a_convolution_in_groups_loses_what_is_asked_for():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=4), nn.Conv2d(8, 2, 1)).eval()
    widths = {whole: channels(model, IMAGE, whole).groups[0].width for whole in (None, True, False)}
    assert widths == {None: 4, True: 4, False: 2}
    for whole, groups, each in ((True, 3, 2), (False, 4, 1)):
        graph = channels(model, IMAGE, whole)
        narrow = cut(model, graph, {"0": np.arange(widths[whole]) > 0}, IMAGE)
        assert (narrow[1].groups, narrow[1].weight.shape[1]) == (groups, each)


def test_backbone_and_head_of_a_box_detector_are_cut_and_put_back():
    class Maps(nn.Module):
        def __init__(self, detector):
            super().__init__()
            self.backbone, self.head = detector.backbone, detector.head

        def forward(self, images):
            return self.head(list(self.backbone(images).values()))

    torch.manual_seed(0)
    build = torchvision.models.detection.ssdlite320_mobilenet_v3_large
    detector = build(weights=None, weights_backbone=None, num_classes=3).eval()
    whole, image = Maps(detector).eval(), torch.rand(1, 3, 320, 320)
    graph = channels(whole, image)
    narrow = cut(whole, graph, select(whole, graph, score(whole, graph), 0.3), image)
    detector.backbone, detector.head = narrow.backbone, narrow.head
    assert sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in whole.parameters())
    with torch.no_grad():
        assert set(detector(list(image))[0]) == {"boxes", "scores", "labels"}


def test_code_that_cannot_be_followed_is_said():
    class Unpredictable(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.conv(x) if x.sum() > 0 else x

    with pytest.raises(InputError, match=r"^Unpredictable: torch\.fx cannot follow its code: "):
        channels(Unpredictable(), IMAGE)
    with pytest.raises(InputError, match="criterion 'best': must be one of bn, l1"):
        score(network([]), channels(network([]), IMAGE), "best")


def test_a_cut_that_changes_the_outputs_is_refused():
    class Wide(nn.Module):
        """Divides by the number of its channels, which no tracing sees."""

        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x):
            y = self.first(x)
            return self.last(y) * (y.shape[1] / 8)

    model = Wide()
    graph = channels(model, IMAGE)
    with pytest.raises(InputError, match="^Wide: the narrower network gives other outputs"):
        cut(model, graph, {"first": np.arange(8) < 4}, IMAGE)


def test_a_cut_that_stops_the_network_is_refused():
    class Shaped(nn.Module):
        """Shapes its output by the number of its channels, which no tracing sees."""

        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x):
            y = self.first(x)
            return self.last(y).reshape(1, 2, y.shape[1] * 2, -1)

    model = Shaped()
    graph = channels(model, IMAGE)
    with pytest.raises(InputError, match="^Shaped: the narrower network stops: "):
        cut(model, graph, {"first": np.arange(8) < 3}, IMAGE)
