"""Box arithmetic against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from utils.boxes.geometry import (
    box_iou,
    ciou,
    clip,
    first_survivors,
    import_nms,
    non_max_suppression,
    scale_boxes,
    xywh2xyxy,
    xywhn2xyxy,
    xyxy2xywh,
    xyxy2xywhn,
)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_conversions_by_hand_for_arrays_and_tensors(kind):
    centred, corners = kind([[10.0, 20, 4, 8]]), kind([[8.0, 16, 12, 24]])
    assert xywh2xyxy(centred).tolist() == corners.tolist()
    assert xyxy2xywh(corners).tolist() == centred.tolist()
    assert type(xywh2xyxy(centred)) is type(centred)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_normalised_conversions_by_hand(kind):
    assert xywhn2xyxy(kind([[0.5, 0.5, 0.2, 0.4]]), 100, 50, 10, 20).tolist() == [[50, 35, 70, 55]]
    assert xyxy2xywhn(kind([[40.0, 15, 60, 35]]), 100, 50) == pytest.approx(np.array([[0.5, 0.5, 0.2, 0.4]]))


def test_conversions_leave_their_input_alone():
    boxes = torch.tensor([[10.0, 20, 4, 8]])
    xywh2xyxy(boxes), xyxy2xywh(boxes), clip(boxes, (5, 5)), scale_boxes(boxes, (10, 10), (20, 20))
    assert boxes.tolist() == [[10, 20, 4, 8]]


def test_clip_keeps_boxes_inside_height_and_width():
    assert clip(torch.tensor([[-5.0, -5, 300, 300]]), (100, 200)).tolist() == [[0, 0, 200, 100]]


def test_scale_boxes_undoes_the_letterbox():
    # 200×100 image shown at half size in a 64×128 frame: 100×50 pixels, 7 above and 14 to the left.
    boxes = torch.tensor([[14.0, 7, 114, 57], [24, 17, 34, 27]])
    expected = [[0, 0, 200, 100], [20, 20, 40, 40]]
    assert scale_boxes(boxes, (64, 128), (100, 200), ((0.5, 0.5), (14, 7))).tolist() == expected


def test_scale_boxes_takes_a_centred_letterbox_by_default():
    # 200×100 in 128×128: gain 0.64, 64 pixels high, 32 above.
    assert scale_boxes(torch.tensor([[0.0, 32, 128, 96]]), (128, 128), (100, 200)).tolist() == [[0, 0, 200, 100]]


def test_iou_by_hand():
    first = torch.tensor([[0.0, 0, 10, 10], [0, 0, 5, 10]])
    second = torch.tensor([[5.0, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]])
    expected = torch.tensor([[50 / 150, 0, 1], [0, 0, 0.5]])
    assert torch.allclose(box_iou(first, second), expected, atol=1e-6)


def test_iou_of_nothing_has_the_right_shape():
    assert box_iou(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)


def test_ciou_is_one_for_equal_boxes():
    boxes = torch.tensor([[5.0, 5, 10, 4]])
    assert ciou(boxes, boxes).item() == pytest.approx(1, abs=1e-6)


def test_ciou_by_hand():
    # Boxes 2×2 around (1, 1) and 4×2 around (4, 1): no overlap, distance 3, hull 6×2.
    aspect = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2
    expected = 0 - 9 / 40 - aspect * aspect / (1 - 0 + aspect)
    pred, target = torch.tensor([[1.0, 1, 2, 2]]), torch.tensor([[4.0, 1, 4, 2]])
    assert ciou(pred, target).item() == pytest.approx(expected, abs=1e-6)


def test_ciou_gradient_is_finite_for_a_flat_box():
    pred = torch.tensor([[1.0, 1, 2, 0]], requires_grad=True)
    ciou(pred, torch.tensor([[1.0, 1, 2, 2]])).sum().backward()
    assert pred.grad.isfinite().all()


def prediction(x, y, obj, *classes, size=10.0):
    return [x, y, size, size, obj, *classes]


def test_suppression_is_that_of_torchvision():
    from torchvision.ops import nms

    corners = torch.rand(200, 2) * 100
    boxes, scores = torch.cat((corners, corners + 5 + torch.rand(200, 2) * 30), 1), torch.rand(200)
    assert torch.equal(import_nms()(boxes, scores, 0.4), nms(boxes, scores, 0.4))


def test_suppression_keeps_the_best_of_overlapping_boxes():
    raw = torch.tensor(
        [[prediction(50, 50, 0.9, 0.9, 0), prediction(51, 50, 0.8, 0.9, 0), prediction(90, 90, 0.5, 0, 0.8)]]
    )
    (found,) = non_max_suppression(raw, conf=0.1, iou=0.5)
    expected = torch.tensor([[45.0, 45, 55, 55, 0.81, 0], [85, 85, 95, 95, 0.4, 1]])
    assert torch.allclose(found, expected)


def test_boxes_of_different_classes_suppress_each_other_only_when_agnostic():
    raw = torch.tensor([[prediction(50, 50, 1, 0.9, 0), prediction(50, 50, 1, 0, 0.8)]])
    assert non_max_suppression(raw, 0.1, 0.5)[0][:, 5].tolist() == [0, 1]
    assert non_max_suppression(raw, 0.1, 0.5, agnostic=True)[0][:, 5].tolist() == [0]


def test_one_box_may_have_several_labels():
    raw = torch.tensor([[prediction(50, 50, 1, 0.6, 0.7)]])
    assert non_max_suppression(raw, 0.5, 0.5)[0][:, 5].tolist() == [1, 0]
    assert non_max_suppression(raw, 0.5, 0.5, multi_label=False)[0][:, 5].tolist() == [1]


def test_objectness_and_score_must_both_exceed_conf():
    raw = torch.tensor(
        [[prediction(10, 10, 0.3, 1.0, 0), prediction(50, 50, 0.6, 0.4, 0), prediction(90, 90, 0.6, 0.6, 0)]]
    )
    assert non_max_suppression(raw, 0.3, 0.5)[0][:, 0].tolist() == [85]


def test_classes_select():
    raw = torch.tensor(
        [[prediction(10, 10, 1, 0.9, 0, 0), prediction(50, 50, 1, 0, 0.9, 0), prediction(90, 90, 1, 0, 0, 0.9)]]
    )
    assert non_max_suppression(raw, 0.3, 0.5, classes=[0, 2])[0][:, 5].tolist() == [0, 2]


def test_max_det_keeps_the_surest():
    raw = torch.tensor([[prediction(20.0 * i, 10, 0.5 + i / 100, 1.0, 0) for i in range(20)]])
    found = non_max_suppression(raw, 0.3, 0.5, max_det=3)[0]
    assert found[:, 4].tolist() == pytest.approx([0.69, 0.68, 0.67])


def test_every_image_gets_a_result_even_without_boxes():
    found = non_max_suppression(torch.zeros(3, 7, 7), 0.1, 0.5)
    assert [tuple(one.shape) for one in found] == [(0, 6)] * 3


def test_half_precision_predictions_give_float32():
    raw = torch.tensor([[prediction(50, 50, 1, 0.9, 0)]]).half()
    assert non_max_suppression(raw, 0.1, 0.5)[0].dtype == torch.float32


def test_trying_the_best_first_changes_nothing():
    corners = torch.rand(3000, 2) * 30
    boxes = torch.cat((corners, corners + 10), 1)
    scores = torch.rand(3000).sort(descending=True).values
    whole = first_survivors(boxes, scores, 0.5, count=3000)
    assert first_survivors(boxes, scores, 0.5, count=7).tolist() == whole[:7].tolist()
