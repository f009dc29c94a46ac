import numpy as np
import pytest
from torch import nn

from models.common import Conv
from models.yolo import DetectionModel
from utils.data.config import load_data
from utils.errors import InputError
from utils.pruning.channels.groups import trace_channels
from utils.pruning.report.sensitivity import (
    Curve,
    FewImages,
    by_sensitivity,
    describe_sensitivity,
    sensitivity,
    trade_off,
    weakest_masked,
)
from utils.validation.measure import validate


def test_the_weakest_share_is_silenced_and_one_channel_stays():
    scores = np.array([3.0, 1.0, 2.0, 4.0])
    assert weakest_masked(scores, 0.5).tolist() == [True, False, False, True]
    assert weakest_masked(scores, 0.25).tolist() == [True, False, True, True]
    assert weakest_masked(scores, 1.0).tolist() == [False, False, False, True]
    assert weakest_masked(scores, 0.0).all()


def test_one_group_at_a_time_on_a_copy():
    model = nn.Sequential(Conv(3, 4), Conv(4, 8), nn.Conv2d(8, 2, 1)).eval()
    graph = trace_channels(model)
    scores = {"0.conv": np.arange(4.0), "1.conv": np.arange(8.0)[::-1]}
    seen = []

    def accuracy(network):
        seen.append([network[i].bn.weight.tolist() for i in (0, 1)])
        return float(sum(map(sum, seen[-1]))) / 12

    curves = sensitivity(model, graph, scores, accuracy, shares=(0.25, 0.5))
    assert seen[0] == [[0, 1, 1, 1], [1] * 8] and seen[1] == [[0, 0, 1, 1], [1] * 8]
    assert seen[3] == [[1] * 4, [1, 1, 1, 1, 0, 0, 0, 0]]
    assert curves[0] == Curve("0.conv", 4, (0.25, 0.5), (11 / 12, 10 / 12))
    assert curves[1].map50 == (10 / 12, 8 / 12)
    assert all(model[i].bn.weight.eq(1).all() for i in (0, 1))


def test_a_group_without_score_is_left_out():
    model = nn.Sequential(Conv(3, 4), Conv(4, 8), nn.Conv2d(8, 2, 1)).eval()
    curves = sensitivity(model, trace_channels(model), {"1.conv": np.ones(8)}, lambda network: 0.5)
    assert [c.group for c in curves] == ["1.conv"]


def test_ranking_and_words():
    curves = [
        Curve(name, 8, (0.25, 0.5, 0.75), values)
        for name, values in {"a": (0.9, 0.8, 0.7), "b": (0.5, 0.1, 0.0), "c": (0.9, 0.9, 0.9)}.items()
    ]
    assert [c.group for c in by_sensitivity(curves)] == ["b", "a", "c"]
    words = describe_sensitivity(curves, 0.91, shown=1)
    assert words == "mAP50 with 50% of one group's channels silent, against 0.910: least b (0.100); most c (0.900)"


def test_few_images_measure_as_val_does(tiny_cfg, tiny_config, make_lively, label_by):
    model = make_lively(tiny_cfg)
    config = load_data(label_by(model))
    model.names = config.names
    every = FewImages(model, config, "val", 64, "cpu", images=9, batch_size=2)
    assert every.images == 4
    result = validate(model, config, device="cpu", imgsz=64, batch_size=2, workers=0, progress=False)
    assert every(model) == result.map50 > 0.2
    some = FewImages(model, config, "val", 64, "cpu", images=3)
    assert some.images == 3 and sum(len(batch[0]) for batch in some.batches) == 3
    with pytest.raises(InputError, match="3 classes, but the model has 2"):
        FewImages(DetectionModel(tiny_config), config, "val", 64, "cpu")


def test_points_of_networks(tiny_config):
    model = DetectionModel(tiny_config).eval()
    points = trade_off(
        {"all": model, "same": model}, lambda network: 0.25, 64, latency=lambda m, size, rounds: dict.fromkeys(m, 2.5)
    )
    assert [(p.name, p.ms, p.map50) for p in points] == [("all", 2.5, 0.25), ("same", 2.5, 0.25)]
    assert points[0].gflops == points[1].gflops > 0
