import math
from types import SimpleNamespace

import pytest
import torch

from utils.boxes.loss import DetectionLoss, Picked, assign_targets, scaled_gains

LN2 = math.log(2)
HYP = {"box": 0.05, "obj": 1.0, "cls": 0.5, "anchor_t": 4.0}


def one_scale(nc=2, anchors=((1.0, 1.0),)):
    """Return what the loss needs of a model: one scale whose anchors are given in cells."""
    anchors = torch.tensor(anchors)[None]
    return SimpleNamespace(model=[SimpleNamespace(nl=1, na=anchors.shape[1], nc=nc, anchors=anchors)])


def target(*rows):
    return torch.tensor(rows, dtype=torch.float32).view(-1, 6)


# A box of one cell's size at (1.6, 1.6) of a 4×4 grid: cell (1, 1) and, as 0.6 > 0.5, its neighbours (2, 1) and (1, 2).
NEAR = target([0, 1, 0.4, 0.4, 0.25, 0.25])
# A prediction of zeros is a box of one cell at its cell's centre: 0.1 off in x and y in the own cell,
# 0.9 and 0.1 off in the cells beside.
OWN = 0.81 / 1.19 - 0.02 / 2.42
BESIDE = 0.09 / 1.91 - 0.82 / (1.9**2 + 1.1**2)


def test_gains_are_those_of_the_public_code():
    hyp = {"box": 0.05, "obj": 1.0, "cls": 0.5}
    assert scaled_gains(hyp, 3, 80, 640) == pytest.approx((0.05, 1.0, 0.5))
    assert scaled_gains(hyp, 4, 20, 320) == pytest.approx((0.0375, 0.1875, 0.09375))


def test_values_by_hand():
    loss, parts = DetectionLoss(one_scale(), HYP, 640)([torch.zeros(1, 1, 4, 4, 7)], NEAR)
    box = ((1 - OWN) + 2 * (1 - BESIDE)) / 3
    assert parts.tolist() == pytest.approx([0.15 * box, 3 * 4 * LN2, 0.5 * 2 / 80 * 3 * LN2], rel=1e-5)
    assert float(loss) == pytest.approx(float(parts.sum()), rel=1e-6)


def test_total_is_multiplied_by_the_batch_size():
    raw = [torch.zeros(3, 1, 4, 4, 7)]
    loss, parts = DetectionLoss(one_scale(), HYP)(raw, NEAR)
    assert float(loss) == pytest.approx(3 * float(parts.sum()), rel=1e-6)


def test_objectness_learns_the_overlap():
    raw = torch.zeros(1, 1, 4, 4, 7, requires_grad=True)
    DetectionLoss(one_scale(), HYP | {"box": 0.0, "cls": 0.0})([raw], NEAR)[0].backward()
    truth = 0.5 - raw.grad[0, 0, ..., 4] * 16 / (3 * 4)  # gradient of BCE: (sigmoid − truth) · gain / cells
    expected = torch.zeros(4, 4)
    expected[1, 1] = OWN  # the neighbours' CIoU is negative, so 0
    assert torch.allclose(truth, expected, atol=1e-5)


def test_one_class_has_no_class_loss():
    _, parts = DetectionLoss(one_scale(nc=1), HYP)([torch.zeros(1, 1, 4, 4, 6)], target([0, 0, 0.4, 0.4, 0.25, 0.25]))
    assert parts[2] == 0


def test_no_targets():
    loss, parts = DetectionLoss(one_scale(), HYP)([torch.zeros(1, 1, 4, 4, 7)], target())
    assert parts[0] == parts[2] == 0
    assert float(loss) == pytest.approx(12 * LN2, rel=1e-5)


def test_label_smoothing_and_positive_weight():
    raw = [torch.zeros(1, 1, 4, 4, 7)]
    raw[0][..., 5:] = math.log(3)  # probability 3/4
    smoothed = DetectionLoss(one_scale(), HYP | {"label_smoothing": 0.2})(raw, NEAR)[1][2]
    right, wrong = -math.log(0.75), -math.log(0.25)
    mean = (0.9 * right + 0.1 * wrong + 0.1 * right + 0.9 * wrong) / 2
    assert float(smoothed) == pytest.approx(0.0375 * mean, rel=1e-5)
    weighted = DetectionLoss(one_scale(), HYP | {"cls_pw": 2.0})(raw, NEAR)[1][2]
    assert float(weighted) == pytest.approx(0.0375 * (2 * right + wrong) / 2, rel=1e-5)


def test_focal_loss():
    _, parts = DetectionLoss(one_scale(), HYP | {"fl_gamma": 2.0})([torch.zeros(1, 1, 4, 4, 7)], NEAR)
    assert float(parts[2]) == pytest.approx(0.0375 * LN2 * 0.25 * (0.25 + 0.75) / 2, rel=1e-5)


def test_losses_are_float32_under_mixed_precision():
    loss, parts = DetectionLoss(one_scale(), HYP)([torch.zeros(1, 1, 4, 4, 7, dtype=torch.bfloat16)], NEAR)
    assert loss.dtype == parts.dtype == torch.float32


def test_order_of_targets_does_not_matter():
    torch.manual_seed(0)
    raw = [torch.randn(1, 1, 4, 4, 7)]
    rows = target([0, 1, 0.4, 0.4, 0.25, 0.25], [0, 0, 0.41, 0.39, 0.5, 0.3])  # both claim the same cells
    loss = DetectionLoss(one_scale(), HYP)
    assert torch.allclose(loss(raw, rows)[1], loss(raw, rows.flip(0))[1], rtol=1e-6)


def test_processes_that_share_their_counts_add_up_to_one():
    torch.manual_seed(0)
    raw = torch.randn(4, 1, 4, 4, 7)
    rows = torch.rand(20, 6) * 0.5 + 0.2
    rows[:, 0] = torch.tensor([0] * 12 + [1] * 3 + [2] * 4 + [3])
    rows[:, 1] = torch.arange(20) % 2
    whole = DetectionLoss(one_scale(), HYP)([raw], rows)[0]
    first, second = rows[rows[:, 0] < 2], rows[rows[:, 0] >= 2] - torch.tensor([2.0, 0, 0, 0, 0, 0])
    matches = [len(assign_targets(part, torch.ones(1, 2), (4, 4), 4.0)[0]) for part in (first, second)]
    assert matches[0] != matches[1]
    shared = DetectionLoss(one_scale(), HYP, average=lambda counts: torch.tensor([sum(matches) / 2]))
    parts = [shared([raw[:2]], first)[0], shared([raw[2:]], second)[0]]
    # Each process multiplies by their number, then gradients are averaged: the sum remains.
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-5)


def test_assignment_by_hand():
    index, anchor, cell, box = assign_targets(NEAR, torch.tensor([[1.0, 1.0], [9.0, 9.0]]), (4, 4), 4.0)
    assert index.tolist() == [0, 0, 0]
    assert anchor.tolist() == [0, 0, 0]  # 9 cells are more than four times one
    assert cell.tolist() == [[1, 1], [2, 1], [1, 2]]
    assert torch.allclose(box, torch.tensor([[0.6, 0.6, 1, 1], [-0.4, 0.6, 1, 1], [0.6, -0.4, 1, 1]]))


@pytest.mark.parametrize(
    ("centre", "cells"),
    [
        ((0.05, 0.05), [[0, 0]]),  # no neighbour outside the grid
        ((1.0, 1.0), [[3, 3]]),  # the corner itself belongs to the last cell
        ((0.375, 0.375), [[1, 1]]),  # in the middle of a cell no side is nearer
        ((0.3, 0.95), [[1, 3], [0, 3]]),
        ((0.6, 0.3), [[2, 1], [1, 1], [2, 0]]),
    ],
)
def test_neighbour_cells(centre, cells):
    rows = target([0, 0, *centre, 0.25, 0.25])
    assert assign_targets(rows, torch.ones(1, 2), (4, 4), 4.0)[2].tolist() == cells


def test_anchor_limit_is_exclusive_and_both_ways():
    for side, matched in ((0.99, True), (1.0, False), (0.0626, True), (0.0625, False)):
        rows = target([0, 0, 0.375, 0.375, side, 0.25])
        assert bool(len(assign_targets(rows, torch.ones(1, 2), (4, 4), 4.0)[0])) == matched


def test_picking_has_the_gradient_of_indexing():
    raw = torch.randn(2, 1, 3, 4, 7).permute(0, 1, 3, 2, 4).requires_grad_()
    place = torch.tensor([[0, 1, 1], [0, 0, 0], [3, 0, 0], [2, 1, 1]]).unbind()  # one of them twice
    gradients = []
    for objectness, rows in (Picked.apply(raw, *place), (raw[..., 4], raw[place])):
        gradients.append(torch.autograd.grad((objectness**2).sum() + (rows**3).sum(), raw)[0])
    assert torch.allclose(*gradients)
