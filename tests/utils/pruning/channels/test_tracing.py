"""The walk over a traced network: which operations pass labels on, tie them or freeze them, and in what words."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.common import C3TR, BottleneckCSP, Contract, Conv, Focus
from models.yolo import DetectionModel
from utils.pruning.channels.groups import trace_channels, traced_network
from utils.pruning.channels.labels import Labels
from utils.pruning.channels.operations import is_activation, keeps_zero
from utils.pruning.channels.rebuild import masked, rebuild


class Two(nn.Module):
    """Two convolutions of 8 channels on the image, a function of their maps, and a convolution of what it gives."""

    def __init__(self, function, width=8):
        super().__init__()
        self.a, self.b, self.last = Conv(3, 8), Conv(3, 8), nn.Conv2d(width, 2, 1)
        self.function = function

    def forward(self, x):
        return self.last(self.function(self.a(x), self.b(x)))


class Unpredictable(nn.Module):
    """Its path depends on the numbers, so it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.inner = Conv(8, 8)

    def forward(self, x):
        return self.inner(x) if x.sum() > 0 else x


class Halves(nn.Module):
    """Adds the halves of a map, cut at a fixed place."""

    def forward(self, x):
        return x[:, :4] + x[:, 4:]


def groups_of(model):
    return {group.name: group for group in trace_channels(model).groups}


def test_labels_are_consecutive_and_each_its_own():
    labels = Labels()
    assert labels.fresh(3).tolist() == [0, 1, 2] and labels.fresh(2).tolist() == [3, 4]
    assert labels.roots(np.array([4, 0, 4])).tolist() == [4, 0, 4]
    assert labels.roots(np.array([4])).dtype == np.int64


def test_tied_labels_have_the_smallest_as_root_and_know_all_that_tied_them():
    labels = Labels()
    a, b, c = labels.fresh(2), labels.fresh(2), labels.fresh(2)
    labels.tie(c, b, "products")
    labels.tie(b, b, "nothing")
    assert labels.roots(c).tolist() == b.tolist() == labels.roots(b).tolist()
    labels.tie(c, a, "additions")
    assert labels.roots(c).tolist() == labels.roots(b).tolist() == labels.roots(a).tolist() == [0, 1]
    assert labels.ties == {0: {"products", "additions"}, 1: {"products", "additions"}}


def test_long_chains_of_ties_have_one_root():
    labels = Labels()
    vector = labels.fresh(9)
    for first, second in ((7, 8), (5, 7), (3, 5), (1, 3), (0, 1)):
        labels.tie(vector[[first]], vector[[second]], "additions")
    assert labels.roots(vector).tolist() == [0, 0, 2, 0, 4, 0, 6, 0, 0]


def test_the_first_reason_stays():
    labels = Labels()
    vector = labels.fresh(3)
    labels.freeze(vector[:1], "first")
    labels.freeze(vector[:2], "second")
    assert labels.reasons == {0: "first", 1: "second"}


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: torch.relu(a) - 3 * b * 0.5,
        lambda a, b: functional.silu(a).tanh() + functional.interpolate(b, scale_factor=1.0),
        lambda a, b: functional.max_pool2d(a, 3, 1, 1).clone() + b.contiguous(),
        lambda a, b: a[:, :, ::1] + b[..., ::1, :],
        lambda a, b: a.add_(b),
        lambda a, b: torch.sub(a, b),
        lambda a, b: (a + a) + b,
    ],
)
def test_additions_tie_what_passing_operations_hand_on(function):
    groups = groups_of(Two(function))
    assert groups["a.conv"].members == ("a.conv", "b.conv") and groups["a.conv"].ties == ("additions",)
    assert groups["a.conv"].protected is None


@pytest.mark.parametrize(
    "function", [lambda a, b: a * b, torch.mul, lambda a, b: (a * a) * b, lambda a, b: (a * 2).mul_(b)]
)
def test_a_product_of_maps_ties_them(function):
    group = groups_of(Two(function))["a.conv"]
    assert (group.members, group.ties, group.protected) == (("a.conv", "b.conv"), ("products",), None)


@pytest.mark.parametrize(
    "join",
    [lambda a, b: torch.cat((a, b), 1), lambda a, b: torch.cat([a, b], dim=1), lambda a, b: torch.concat((a, b), -3)],
)
def test_a_concat_ties_nothing_and_knows_who_is_read_where(join):
    model = Two(join, 16)
    graph = trace_channels(model)
    a, b, last = (graph.layers[name] for name in ("a.conv", "b.conv", "last"))
    assert last.inputs.tolist() == [*a.outputs.tolist(), *b.outputs.tolist()]
    assert len(graph.free_groups) == 2 and not any(group.ties for group in graph.groups)


@pytest.mark.parametrize(
    ("function", "width", "reason"),
    [
        (lambda a, b: a[:, :4] + b[:, 4:], 4, "getitem at getitem has fixed bounds"),
        (lambda a, b: a[:, -4:] + b[:, -4:], 4, "getitem at getitem has fixed bounds"),
        (lambda a, b: a[:, ::2] + b[:, ::2], 4, "getitem at getitem has fixed bounds"),
        (lambda a, b: (a + 1) + (b + 1), 8, "add at add is not zero at zero"),
        (lambda a, b: a.flip(1) + b.flip(1), 8, "flip (call_method) is not understood"),
        (lambda a, b: a.mean(1, keepdim=True) + b.mean(1, keepdim=True), 1, "mean (call_method) is not understood"),
        (lambda a, b: torch.sigmoid(a + b), 8, "sigmoid at sigmoid is not zero at zero"),
        (lambda a, b: (a + b).softmax(1), 8, "softmax (call_method) is not understood"),
        (lambda a, b: (a + b) / b, 8, "truediv at truediv is not understood"),
        (lambda a, b: (a + b).view(-1, 4, 2, 64, 64).flatten(1, 2), 8, "view (call_method) has room"),
        (lambda a, b: (a + b).split(4, 1)[1], 4, "split (call_method) has fixed bounds"),
        (lambda a, b: (a + b) + torch.ones(8, 1, 1), 8, "add at add_1 takes a fixed tensor"),
        (lambda a, b: (a + b).unbind(1)[3][:, None], 1, "unbind (call_method) has fixed bounds"),
    ],
)
def test_what_is_not_understood_is_frozen_and_named(function, width, reason):
    groups = groups_of(Two(function, width))
    assert groups["a.conv"].protected.startswith(reason)
    assert groups["b.conv" if "b.conv" in groups else "a.conv"].protected


@pytest.mark.parametrize(
    ("function", "width", "units"),
    [
        (lambda a, b: (a + b).chunk(2, 1)[0], 4, 4),
        (lambda a, b: torch.cat((a, b), 2), 8, 8),
        (lambda a, b: (a.flatten(2) + b.flatten(2))[..., None], 8, 8),
        (lambda a, b: (a + b).flatten(2).transpose(1, 2).transpose(2, 1).unflatten(-1, (8, 8)), 8, 8),
        (lambda a, b: functional.pixel_shuffle(a + b, 2), 2, 2),
        (lambda a, b: functional.pixel_unshuffle(a + b, 2), 32, 8),
        (lambda a, b: (a + b) * torch.sigmoid((a + b).mean((2, 3), keepdim=True)), 8, 8),
        (lambda a, b: (a + b).view(-1, 2, a.shape[1] // 2, 8, 8).transpose(1, 2).reshape(-1, a.shape[1], 8, 8), 8, 4),
        (lambda a, b: (a + b)[:, : a.shape[1] // 2] * 1.0, 4, 4),
        (lambda a, b: torch.stack((a, b), 2).mean(2), 8, 8),
    ],
)
def test_what_moves_numbers_passes_channels_on(function, width, units):
    model = Two(function, width).eval()
    graph = trace_channels(model, 16 if width == 32 else 8)
    (group,) = [group for group in graph.groups if group.name == "a.conv"]
    assert group.protected is None and group.width == units
    keep = {"a.conv": np.arange(units) != 1}
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(rebuild(model, graph, keep)(image), masked(model, graph, keep)(image))


def test_channels_behind_a_constant_bound_may_go():
    model = Two(lambda a, b: (a + b)[:, :3] * 1.0, 3).eval()
    graph = trace_channels(model)
    assert sorted(graph.frozen) and {graph.frozen[label] for label in graph.layers["a.conv"].outputs[:3]} != set()
    assert not set(graph.layers["a.conv"].outputs[3:].tolist()).intersection(graph.frozen)


def test_asking_for_a_size_freezes_nothing():
    groups = groups_of(
        Two(lambda a, b: functional.interpolate(a, b.shape[2:]).add(functional.interpolate(b, a.size(2))))
    )
    assert groups["a.conv"].protected is None and groups["a.conv"].members == ("a.conv", "b.conv")


def test_words_name_the_module_whose_code_it_is():
    groups = groups_of(nn.Sequential(Conv(3, 8), C3TR(8, 8), nn.Conv2d(8, 2, 1)))
    reason = "reshape (call_method) in 1.m (TransformerBlock) has room for just as many"
    assert groups["1.cv1.conv"].protected == reason
    groups = groups_of(nn.Sequential(Conv(3, 8), Halves(), nn.Conv2d(4, 2, 1)))
    assert groups["0.conv"].protected == "getitem at getitem in 1 (Halves) has fixed bounds"


def test_a_module_that_cannot_be_traced_is_protected_and_named():
    groups = groups_of(nn.Sequential(Conv(3, 8), Unpredictable(), Conv(8, 8), nn.Conv2d(8, 2, 1)))
    assert groups["0.conv"].protected == "1 (call_module) is not understood"
    assert groups["2.conv"].protected is None
    assert "1.inner.conv" not in groups


def test_the_image_and_the_predictions_are_frozen(tiny_config):
    graph = trace_channels(DetectionModel(tiny_config))
    first, heads = graph.layers["model.0.conv"], [graph.layers[f"model.24.m.{i}"] for i in range(3)]
    assert {graph.frozen[label] for label in first.inputs.tolist()} == {"these are the image's channels"}
    assert all(graph.frozen[label] == "its outputs are the predictions" for h in heads for label in h.outputs.tolist())
    assert [(len(h.inputs), len(h.outputs), h.is_conv, h.depthwise) for h in heads] == [
        (32, 21, True, False),
        (64, 21, True, False),
        (128, 21, True, False),
    ]
    assert [h.area for h in heads] == [1 / 8**2, 1 / 16**2, 1 / 32**2]
    assert not set(np.concatenate([h.inputs for h in heads]).tolist()).intersection(graph.frozen)


def test_detect_and_torch_layers_are_single_steps(tiny_config):
    targets = {node.target for node in traced_network(DetectionModel(tiny_config).eval()).graph.nodes}
    assert {"model.24", "model.0.conv", "model.0.bn"} <= targets
    assert not {"model.0", "model.2", "model.24.m.0"} & targets


def test_convolutions_in_groups_lose_whole_groups_or_the_same_places_of_each():
    model = nn.Sequential(Conv(3, 8), Conv(8, 16, 3, g=8), Conv(16, 8, 3, g=2), Conv(8, 12, g=4), nn.Conv2d(12, 2, 1))
    graph = trace_channels(model.eval())
    first, depthwise, places, whole = (graph.layers[f"{i}.conv"] for i in range(4))
    assert first.outputs.tolist() == depthwise.inputs.tolist() == depthwise.outputs[::2].tolist()
    assert [layer.depthwise for layer in (first, depthwise, places, whole)] == [False, True, False, False]
    assert [layer.by_group for layer in (first, depthwise, places, whole)] == [False, True, False, True]
    assert depthwise.outputs[:8].tolist() == depthwise.outputs[8:].tolist() == np.repeat(first.outputs[:4], 2).tolist()
    assert whole.inputs.tolist() == places.outputs.tolist() and len(set(places.outputs.tolist())) == 2
    assert not any(group.protected for group in graph.groups[:-1])
    assert {group.name: group.width for group in graph.groups} == {"0.conv": 4, "2.conv": 2, "4": 2}
    keep = {"0.conv": np.array([True, False, True, True]), "2.conv": np.array([False, True])}
    narrow, image = rebuild(model, graph, keep), torch.rand(2, 3, 8, 8)
    assert [narrow[i].conv.groups for i in range(4)] == [1, 6, 2, 2]
    torch.testing.assert_close(narrow(image), masked(model, graph, keep)(image))


@pytest.mark.parametrize(("act", "reason"), [(nn.Sigmoid(), "0.act (Sigmoid) is not zero at zero"), (nn.Tanh(), None)])
def test_an_activation_that_is_not_zero_at_zero_protects_what_it_reads(act, reason):
    groups = groups_of(nn.Sequential(Conv(3, 8, act=act), Conv(8, 4), nn.Conv2d(4, 2, 1)))
    assert groups["0.conv"].protected == reason and groups["1.conv"].protected is None


def test_an_activation_with_an_axis_is_not_understood():
    groups = groups_of(nn.Sequential(Conv(3, 8, act=nn.Softmax(1)), nn.Conv2d(8, 2, 1)))
    assert groups["0.conv"].protected == "0.act (call_module) is not understood"


def test_a_layer_used_twice_has_one_set_of_channels():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.shared, self.last = Conv(3, 8), Conv(8, 8, 3, 2), nn.Conv2d(8, 2, 1)

        def forward(self, x):
            return self.last(self.shared(self.shared(self.first(x))))

    graph = trace_channels(Twice())
    groups = {group.name: group for group in graph.groups}
    assert groups["first.conv"].members == ("first.conv", "shared.conv")
    assert groups["first.conv"].ties == ("shared weights",)
    assert graph.layers["shared.conv"].area == graph.layers["shared.bn"].area == 1 / 4 + 1 / 16
    assert graph.behind["first.conv"] == ("first.bn", 0)


def test_batch_norms_know_the_convolutions_they_alone_read():
    graph = trace_channels(nn.Sequential(Conv(3, 8), BottleneckCSP(8, 8), nn.Conv2d(8, 2, 1)))
    assert graph.behind["0.conv"] == ("0.bn", 0)
    assert graph.behind["1.cv3"] == ("1.bn", 0) and graph.behind["1.cv2"] == ("1.bn", 4)  # a concat of 4 and 4
    assert "2" not in graph.behind


def test_a_convolution_that_others_read_too_has_no_batch_norm_of_its_own_behind():
    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.bn, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(8), Conv(16, 2)

        def forward(self, x):
            joined = torch.cat((self.a(x), self.b(x)), 1)
            return self.last(torch.cat((self.bn(joined), joined), 1))

    assert trace_channels(Read()).behind == {"last.conv": ("last.bn", 0)}


def test_space_to_depth_keeps_groups_of_fixed_sizes_and_a_slice_of_pixels_is_free():
    groups = groups_of(nn.Sequential(Focus(3, 8), Conv(8, 8), Contract(), Conv(32, 8), nn.Conv2d(8, 2, 1)))
    assert groups["0.conv.conv"].protected is None and groups["3.conv"].protected is None
    assert "1.conv" in groups


@pytest.mark.parametrize(
    ("module", "alone", "zero"),
    [
        (nn.SiLU(), True, True),
        (nn.Hardswish(), True, True),
        (nn.LeakyReLU(0.1), True, True),
        (nn.Sigmoid(), True, False),
        (nn.Softplus(), True, False),
        (nn.PReLU(8), False, True),  # weights: one a channel
        (nn.Softmax(1), False, False),
        (nn.Identity(), False, True),
    ],
)
def test_activations(module, alone, zero):
    assert is_activation(module) == alone
    if not isinstance(module, (nn.PReLU, nn.Softmax)):
        assert keeps_zero(module) == zero
