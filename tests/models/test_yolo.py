"""The detection network: sizes of the public models, decoding by hand, errors of model files."""

import copy
import math

import pytest
import torch
import yaml
from torch import nn

from models.common import TransformerBlock
from models.cost import count_gflops, count_parameters
from models.errors import SpecError
from models.spec import make_activation, parse_spec
from models.yolo import DetectionModel
from utils.files.paths import ROOT

# Parameters before and after folding batch norms, as published for the v6.0 models with 80 classes.
PUBLISHED = {"n": (1872157, 1867405), "s": (7235389, 7225885), "m": (21190557, 21172173), "x": (86749405, 86705005)}


def model_yaml(name):
    return yaml.safe_load((ROOT / "models" / name).read_text())


@pytest.mark.parametrize("size", PUBLISHED)
def test_parameter_counts_are_the_published_ones(size):
    with torch.device("meta"):
        model = DetectionModel(ROOT / "models" / f"yolov5{size}.yaml")
    assert count_parameters(model) == PUBLISHED[size][0]
    convolutions_with_norm = [m.bn for m in model.modules() if hasattr(m, "bn")]
    folded = sum(bn.num_features for bn in convolutions_with_norm)  # gamma and beta go, a bias comes
    assert count_parameters(model) - folded == PUBLISHED[size][1]


def test_gflops_are_the_published_ones():
    assert count_gflops(DetectionModel(ROOT / "models/yolov5n.yaml")) == pytest.approx(4.5, abs=0.05)
    assert count_gflops(DetectionModel(ROOT / "models/yolov5s.yaml")) == pytest.approx(16.4, abs=0.1)


def test_fusing_keeps_the_output(tiny_config):
    torch.manual_seed(0)
    model = DetectionModel(tiny_config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    model.eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        before = model(images)[0]
        after = copy.deepcopy(model).fuse()(images)[0]
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-4)


def test_a_zero_prediction_decodes_to_the_cell_centre_and_the_anchor(tiny_config):
    model = DetectionModel(tiny_config).eval()
    detect = model.model[-1]
    for conv in detect.m:
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
    with torch.no_grad():
        predictions = model(torch.rand(1, 3, 64, 64))[0][0]
    # First scale: stride 8, 8×8 cells, anchor by anchor. sigmoid(0) = 1/2: xy = (1 − 0.5 + cell)·8, wh = 1²·anchor.
    assert predictions[0].tolist() == pytest.approx([4, 4, 10, 13, 0.5, 0.5, 0.5])
    assert predictions[9].tolist() == pytest.approx([12, 12, 10, 13, 0.5, 0.5, 0.5])
    assert predictions[64][2:4].tolist() == pytest.approx([16, 30])
    assert len(predictions) == 3 * (64 + 16 + 4)


def test_detect_biases_start_at_few_objects(tiny_config):
    torch.manual_seed(0)
    model = DetectionModel(tiny_config)
    conv, stride = model.model[-1].m[0], 8
    bound = 1 / math.sqrt(conv.in_channels)  # of the random part of the bias
    objectness = conv.bias.view(3, -1)[:, 4]
    assert (objectness - math.log(8 / (640 / stride) ** 2)).abs().max() <= bound


def test_test_time_augmentation_flips_boxes_back(tiny_config):
    torch.manual_seed(0)
    model = DetectionModel(tiny_config).eval()
    image = torch.rand(1, 3, 64, 64)
    image = (image + image.flip(3)) / 2  # the same seen in a mirror
    with torch.no_grad():
        predictions, raw = model(image, augment=True)
    cells = 3 * (64 + 16 + 4)
    assert raw is None
    assert predictions.shape[1] < 3 * cells  # tails of the largest and the smallest scale are dropped
    assert torch.isfinite(predictions).all()


def test_flops_of_attention_are_those_of_all_its_projections():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), TransformerBlock(8, 8, num_heads=2, num_layers=3))
    position, layer = 8 * 8, (3 + 4 + 2) * 8 * 8  # q, k, v; the projections of attention; the perceptron
    assert count_gflops(model, 128) == pytest.approx(2 * (3 * 8 + position + 3 * layer) * 128**2 / 1e9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": [[[-1], 1, "Detekt", ["nc", "anchors"]]]}, ["head row 0", "Detekt", "known are"]),
        ({"nc": 0}, ["nc", "0"]),
        ({"nc": float("inf")}, ["nc", "inf", "whole number"]),
        ({"ch": "three"}, ["ch", "three", "whole number"]),
        ({"channel_multiple": -8}, ["channel_multiple", "-8"]),
        ({"channel_multiple": "eight"}, ["channel_multiple", "eight"]),
        ({"width_multiple": float("nan")}, ["width_multiple", "nan"]),
        ({"backbone": [[-1, 1, ["Conv"], [8]]]}, ["backbone row 0", "unknown layer"]),
        ({"anchors": [[1, 2, 3]]}, ["anchors"]),
        ({"anchors": [[1, -2]]}, ["anchors", "above 0"]),
        ({"anchors": [["a", "b"]]}, ["anchors", "above 0"]),
        ({"backbone": [[-5, 1, "Conv", [8, 3, 2]]]}, ["backbone row 0", "-5"]),
        ({"backbone": [[0, 1, "Conv", [8, 3, 2]]]}, ["backbone row 0", "from 0"]),
        ({"backbone": [[-1, 1, "Conv", ["eight"]]]}, ["backbone row 0", "eight"]),
        ({"depth_multiple": 400}, ["layers after depth_multiple", "at most 1,000"]),  # they would take minutes to build
        ({"activation": "os.system('x')"}, ["my.yaml: activation", "os.system"]),
    ],
)
def test_a_wrong_model_yaml_is_named(tiny_config, change, words):
    with pytest.raises(SpecError) as error:
        parse_spec({**tiny_config, **change}, "my.yaml")
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((1, 0, [-1, 0]), "layer 1 (models.common.Conv)"),
        ((1, 3, [128, 0, 2]), "layer 1 (models.common.Conv)"),
        ((1, 3, [128, {"a": 1}]), "layer 1 (Conv)"),
        ((3, 3, [256, 3, 3]), "layer 12 (models.common.Concat)"),
    ],
)
def test_layers_that_do_not_fit_each_other_are_named(tiny_config, row, words):
    index, column, value = row
    config = copy.deepcopy(tiny_config)
    config["backbone"][index][column] = value
    with pytest.raises(SpecError) as error:
        DetectionModel(config)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_activation_by_name():
    assert make_activation("nn.LeakyReLU(0.1)").negative_slope == 0.1
    assert make_activation("nn.LeakyReLU(negative_slope=0.2)").negative_slope == 0.2


def test_a_yaml_activation_replaces_the_default(tiny_config):
    model = DetectionModel({**tiny_config, "activation": "nn.ReLU()"})
    assert isinstance(model.model[0].act, torch.nn.ReLU)
    assert not any(isinstance(m, torch.nn.SiLU) for m in model.modules())


def test_the_usual_activation_can_be_exchanged_and_the_rows_say_so(tiny_config):
    model = DetectionModel(tiny_config)
    model.model[0].act = torch.nn.Hardswish()  # not the usual one: stays
    for text, usual in (("nn.LeakyReLU(0.1)", torch.nn.LeakyReLU), ("nn.ReLU", torch.nn.ReLU)):
        model.change_activation(text)
        kinds = [type(m.act) for m in model.modules() if hasattr(m, "act")]
        assert kinds[0] is torch.nn.Hardswish and set(kinds[1:]) == {usual}
        assert parse_spec(model.yaml).activation == (text if "(" in text else "nn.ReLU()")  # the public code calls it
    with pytest.raises(SpecError, match="unknown 'nn.Relu"):
        model.change_activation("nn.Relu()")


def test_anchors_are_reversed_when_their_order_is_that_of_coarse_to_fine(tiny_config):
    forward = DetectionModel(tiny_config).model[-1].anchors
    backward = DetectionModel({**tiny_config, "anchors": tiny_config["anchors"][::-1]}).model[-1].anchors
    assert torch.equal(forward, backward)
