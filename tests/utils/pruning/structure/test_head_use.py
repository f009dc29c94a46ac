import numpy as np
import pytest
import torch

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.boxes.anchors import box_sizes
from utils.boxes.loss import assign_targets
from utils.data.labels import Sample
from utils.pruning.structure.head import drop_scales
from utils.pruning.structure.head_use import WORTHWHILE, saving, scale_uses, suggest, worth_dropping


@pytest.fixture
def model(tiny_config):
    """A detector with two anchors of one shape a scale: 10, 20 px, then 40, 80, then 160, 320."""
    anchors = [[10, 10, 20, 20], [40, 40, 80, 80], [160, 160, 320, 320]]
    return DetectionModel({**tiny_config, "anchors": anchors})


def square(*sides):
    return np.array([[side, side] for side in sides], dtype=float)


def boxes(*sides):
    """Return the Sample of an image of 640 pixels with square boxes of these sides."""
    rows = [[0, 0.5, 0.5, side / 640, side / 640] for side in sides]
    return [Sample("", (640, 640), np.array(rows, np.float32))]


def test_shares_by_hand(model):
    # 9 px: P3 best; 40/9 > 4, so P3 alone. 30: 20 is 1.5 away, 40 only 1.33: P4, also P3 (1.5), not P5 (5.3).
    # 100: 80 is 1.25 away; 160 is 1.6 away; 20 is 5 away: P4 best, P5 matches. 1000: 320 is 3.1 away: P5 alone.
    p3, p4, p5 = scale_uses(model, square(9, 30, 100, 1000))
    assert [u.best for u in (p3, p4, p5)] == [0.25, 0.5, 0.25]
    assert [u.matched for u in (p3, p4, p5)] == [0.5, 0.5, 0.5]
    assert [u.alone for u in (p3, p4, p5)] == [0.25, 0, 0.25]
    assert p3.anchors.tolist() == [[10, 10], [20, 20]] and (p3.name, p3.stride, p5.stride) == ("P3", 8, 32)


def test_matches_are_those_of_the_loss(model):
    sizes = np.random.default_rng(0).uniform(2, 600, (200, 2))
    targets = torch.zeros(200, 6)
    targets[:, 2:4] = 0.5
    targets[:, 4:6] = torch.from_numpy(sizes / 640)
    for i, use in enumerate(scale_uses(model, sizes)):
        cells = 640 // use.stride
        index = assign_targets(targets, model.model[-1].anchors[i], (cells, cells), 4.0)[0]
        assert len(index.unique()) / 200 == pytest.approx(use.matched)


def test_advice(model):
    lines = suggest(model, boxes(*[10] * 60, *[50] * 40), 640, "shapes").splitlines()
    assert lines[1].split()[:10] == ["scale", "stride", "anchors", "in", "px", "fits", "best", "matches", "only", "it"]
    assert lines[4].split()[:7] == ["P5", "32", "160×160", "320×320", "0.0%", "40.0%", "0.0%"]  # 160 / 50 is below 4
    assert lines[5].startswith(
        "hardly used: P5 fits 0.0% of the boxes best, 0.0% fit nothing else. With --drop-scale P5 "
    )
    assert suggest(model, boxes(10, 50, 200), 640, "").endswith("every scale is used: none should be dropped")
    assert "--drop-scale P4,P5" in suggest(model, boxes(*[5] * 100, 50), 640, "")


def test_what_a_scale_takes_with_it_is_what_goes_when_it_is_dropped(model):
    narrow, _ = drop_scales(model, ["P5"])
    saved = saving(model, ["P5"])
    assert saved.flops == pytest.approx(1 - count_gflops(narrow) / count_gflops(model))
    assert saved.parameters == pytest.approx(1 - count_parameters(narrow) / count_parameters(model))
    line = suggest(model, boxes(*[10] * 60, *[50] * 40), 640, "").splitlines()[4]
    assert line.split()[7:] == [f"{saved.flops:.1%}", f"{saved.parameters:.1%}"]


def test_a_scale_that_saves_nothing_is_not_advised_against(model):
    p3, *others = scale_uses(model, square(*[100] * 60, *[300] * 40))
    assert p3.hardly_used and not any(use.hardly_used for use in others)
    assert saving(model, ["P3"]).flops < WORTHWHILE  # its layers lead to the other scales
    assert worth_dropping(model, [p3, *others]) == []
    assert suggest(model, boxes(*[100] * 60, *[300] * 40), 640, "").endswith("not worth it")


def test_the_time_is_measured_of_what_is_advised(model):
    measured = []

    def latency(networks, imgsz):
        measured.extend((*networks, imgsz))
        return {"whole": 8.0, "narrow": 6.0}

    assert "8.0 → 6.0 ms" in suggest(model, boxes(*[10] * 60, *[50] * 40), 640, "", latency)
    assert measured == ["whole", "narrow", 640]
    suggest(model, boxes(10, 50, 200), 640, "", latency)
    assert len(measured) == 3


def test_a_scale_that_alone_serves_some_boxes_stays(model):
    p5 = scale_uses(model, square(*[10] * 98, 900, 900))[2]
    assert p5.best == p5.alone == 0.02 and not p5.hardly_used


def test_boxes_in_pixels_at_an_image_size():
    labels = [np.array([[0, 0.5, 0.5, 0.1, 0.5]]), np.zeros((0, 5)), np.array([[1, 0.5, 0.5, 1, 1]])]
    sizes = box_sizes(np.array([[200, 100], [50, 50], [100, 400]]), labels, 320)
    assert sizes == pytest.approx(np.array([[32, 80], [80, 320]]))
