"""What is said to be expected of photos and steps."""

import numpy as np
import pytest

from utils.data.labels import Sample
from utils.data.samples import Samples
from utils.sparsity.expectation import MEASURED, Case, expected, flops_left, outlook
from utils.sparsity.goal import Goal


@pytest.mark.parametrize("known", MEASURED)
def test_a_case_that_was_measured_is_its_own_nearest(known):
    line = expected(known.case, 100)[1]
    assert line.startswith("  measured nearest: ") and f"{known.lost[1]:.2f} of mAP50-95" in line
    assert f"{known.case.left:.0%} of the FLOPs: " in line


def test_lines_of_a_usual_run():
    assert expected(Case(205, 3, 262, 0.63), 2804, fading=79) == [
        "expect: 205 photos of 3 classes, 2,804 objects, 262 optimizer steps, 79 of them for the fade; "
        "about 63% of the FLOPs stay",
        "  measured nearest: 205 photos of 3 classes, 262 steps, 63% of the FLOPs: 0.00 to 0.01 of mAP50-95 0.603 lost",
    ]


def test_few_photos_a_class_are_said():
    lines = expected(Case(128, 71, 86, 0.6), 929)
    assert "0.28 to 0.29 of mAP50-95 0.296 lost" in lines[1] and "few photos a class (1.8)" in lines[2]


def test_what_is_far_from_all_that_was_measured_is_said():
    for case in (Case(100_000, 3, 400_000, 0.63), Case(205, 3, 262, 0.05), Case(205, 3, 10, 0.63)):
        assert expected(case, 10**6)[1].startswith("  nothing alike was measured; the nearest: ")


def test_a_near_case_that_lost_much_more_or_less_is_told_too():
    easy = "120 photos of 3 classes, 1,800 steps, 33% of the FLOPs: 0.00 to 0.01 of mAP50-95 0.580 lost"
    hard = (
        "61 photos of 1 class that the public weights know, 960 steps, 33% of the FLOPs: "
        "0.12 to 0.13 of mAP50-95 0.230 lost"
    )
    other = "205 photos of 3 classes, 2,100 steps, 34% of the FLOPs: 0.00 of mAP50-95 0.603 lost"
    assert expected(Case(70, 1, 1050, 0.33), 300)[1:] == [f"  measured nearest: {hard}", f"  measured too: {other}"]
    assert expected(Case(100, 2, 1700, 0.33), 300)[1:] == [f"  measured nearest: {easy}", f"  measured too: {hard}"]
    assert len(expected(Case(70, 1, 1050, 0.5), 300)) == 2


def test_without_a_share_nothing_is_foretold():
    assert expected(Case(40, 1, 1, None), 50) == ["expect: 40 photos of 1 class, 50 objects, 1 optimizer steps"]


def test_goals_become_shares_of_the_flops():
    assert flops_left(Goal("channels", 0.5)) == 0.63 and flops_left(Goal("FLOPs", 0.25)) == 0.25
    assert flops_left(Goal("time", 0.5)) == 0.42
    for kind in ("channels", "time"):
        lefts = [flops_left(Goal(kind, share)) for share in np.linspace(0.01, 1, 20)]
        assert sorted(lefts) in (lefts, lefts[::-1]) and min(lefts) >= 0 and max(lefts) <= 1


def test_photos_classes_and_objects_are_counted():
    rows = [np.array([[kind, 0.5, 0.5, 0.1, 0.1]] * 2, np.float32) for kind in (0, 7)]
    samples = Samples.of([Sample(f"{index}.png", (8, 8), labels, None) for index, labels in enumerate(rows)])
    assert outlook(samples, 9, None) == [
        "expect: 2 photos of 2 classes, 4 objects, 9 optimizer steps",
        "  few photos a class (1): training may cost more than it brings; at its end it is compared with doing without",
    ]
    bare = Samples.of([Sample("a.png", (8, 8), np.zeros((0, 5)), None)])
    assert outlook(bare, 9, 0.5) == []
