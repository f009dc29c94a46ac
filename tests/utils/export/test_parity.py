"""What counts as the same detector."""

import math

import pytest
import torch

from utils.export.parity import FLOAT, HALF, INT8, Deviation, comparison_images, deviation, shortcomings
from utils.validation.bootstrap import Change

BOX = torch.tensor([[[50.0, 40, 20, 10, 0.9, 0.8], [10, 10, 4, 4, 0.1, 0.1]]])


def test_equal_predictions_do_not_differ():
    assert deviation(BOX, BOX.clone()) == Deviation(0.0, 0.0)


def test_box_differences_are_shares_of_the_longer_side():
    found = BOX.clone()
    found[0, 0, 0] += 2  # 2 of 20 px
    found[0, 1, 5] += 0.25
    difference = deviation(BOX, found)
    assert (difference.box, difference.score) == pytest.approx((0.1, 0.25))


def test_small_boxes_are_measured_in_pixels():
    found = BOX.clone()
    found[0, 1, 0] += 0.8  # of a box of 4 px: as of one of 8
    assert deviation(BOX, found).box == pytest.approx(0.1)


def test_averages_look_at_confident_predictions_alone():
    found = BOX.clone()
    found[0, 1, 4] = 0.9  # its reference is not confident
    found[0, 0, 4] -= 0.1
    assert deviation(BOX, found, average=True).score == pytest.approx(0.1)


@pytest.mark.parametrize("found", [BOX[:, :1], BOX * math.nan, BOX / 0])
def test_other_shapes_and_numbers_that_are_none_differ_without_end(found):
    assert deviation(BOX, found) == Deviation(math.inf, math.inf)


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Deviation(0.0005, 0.0005), []),
        (Deviation(0.002, 0.0), ["boxes"]),
        (Deviation(0.0, math.inf), ["scores"]),
        (Deviation(math.nan, 0.0), ["boxes"]),
    ],
)
def test_what_exceeds_the_tolerance_is_named(difference, words):
    broken = shortcomings(FLOAT, difference)
    assert len(broken) == len(words) and all(text.startswith(word) for text, word in zip(broken, words))


@pytest.mark.parametrize(
    ("tolerance", "change", "count"),
    [
        (FLOAT, Change(-0.4, 0.0), 0),  # equal boxes and scores: the same detector
        (HALF, Change(0.0008, 0.0), 0),
        (HALF, Change(0.004, 0.001), 1),
        (HALF, Change(-0.004, 0.0025), 1),
        (HALF, Change(-0.004, 0.0035), 0),  # may be noise
        (INT8, Change(-0.009, 0.0), 0),
        (INT8, Change(-0.03, 0.015), 1),
        (INT8, Change(-0.03, 0.025), 0),
        (INT8, Change(0.05, 0.0), 0),  # eight bits may also gain
    ],
)
def test_map_may_change_within_the_tolerance_and_its_noise(tolerance, change, count):
    assert len(shortcomings(tolerance, Deviation(0, 0), {"mAP50": change})) == count


def test_drawn_images_are_the_same_every_time():
    images = comparison_images((32, 64))
    assert images.shape == (4, 3, 32, 64) and images.min() >= 0 and images.max() <= 1
    assert torch.equal(images, comparison_images((32, 64)))
    assert not torch.equal(images, comparison_images((32, 64), seed=1))
