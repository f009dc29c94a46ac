"""The noise of a difference of mAPs."""

import numpy as np
import pytest
import torch

from utils.boxes.metrics import score
from utils.validation.bootstrap import WeightedMap, map_changes


def matched(seed, images=40, skill=0.7):
    """Return what a detector of some skill might match: 6 detections and 4 labels of 3 classes on each image."""
    rng = np.random.default_rng(seed)
    return [
        (
            torch.from_numpy(np.repeat(rng.random((6, 1)) < skill, 10, 1)),
            torch.from_numpy(rng.random(6)),
            torch.from_numpy(rng.integers(0, 3, 6)),
            torch.from_numpy(rng.integers(0, 3, 4)),
        )
        for _ in range(images)
    ]


def test_each_image_once_gives_the_map_itself():
    parts = matched(0)
    ap = score(*(torch.cat(column).numpy() for column in zip(*parts, strict=True))).ap
    assert WeightedMap(parts).of(np.ones(40)) == pytest.approx((ap[:, 0].mean(), ap.mean()), abs=1e-12)


def test_an_image_that_counts_twice_is_there_twice():
    parts = matched(1)
    times = np.ones(40)
    times[[3, 7]] = 2, 0
    expected = WeightedMap([*parts[:7], *parts[8:], parts[3]]).of(np.ones(40))
    assert WeightedMap(parts).of(times) == pytest.approx(expected, abs=0.002)  # within a step of one curve


def test_a_detector_does_not_differ_from_itself_and_a_worse_one_does():
    first, worse = matched(2), matched(2, skill=0.4)
    assert [(change.value, change.margin) for change in map_changes(first, first)] == [(0, 0)] * 2
    change, _ = map_changes(first, worse)
    assert change.interval[1] < 0 and change == map_changes(first, worse)[0]  # seeded


def test_fewer_images_are_noisier():
    few, many = (map_changes(matched(3, n), matched(4, n))[0].margin for n in (10, 160))
    assert 2 * many < few < 8 * many


def test_nothing_found_is_zero():
    nothing = [(torch.zeros(0, 10, dtype=torch.bool), torch.zeros(0), torch.zeros(0), torch.zeros(2))]
    assert WeightedMap(nothing).of(np.ones(1)).tolist() == [0, 0]
