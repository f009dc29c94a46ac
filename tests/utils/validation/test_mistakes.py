"""Which photos a second detector gets wrong, on detections made by hand."""

import pytest
import torch

from utils.boxes.metrics import claim
from utils.validation.mistakes import Judge, Mistake, judge, mistakes


def detections(*rows):
    """Return [n, 6]: squares of 10 pixels from (left, 0), each with a score and a class."""
    return torch.tensor([[left, 0, left + 10, 10, score, kind] for left, score, kind in rows]).reshape(-1, 6)


def labels(*rows):
    """Return [m, 5]: squares of 10 pixels from (left, 0), each with a class."""
    return torch.tensor([[kind, left, 0, left + 10, 10.0] for left, kind in rows]).reshape(-1, 5)


def seen(truth, **photos):
    """Return {path: Judged} of photos that all have these labels."""
    return {path: judge(detections(*rows), truth) for path, rows in photos.items()}


def test_a_detection_claims_the_label_of_its_class_that_it_overlaps_most():
    best, claimed = claim(detections((1, 0.9, 0), (1, 0.9, 2)), labels((40, 0), (0, 0), (1, 1)))
    assert best.tolist() == [pytest.approx(9 / 11), -1] and claimed[0] == 1


def test_a_photo_is_judged_at_a_confidence_and_an_overlap():
    found = [(1, 0.9, 0), (0, 0.5, 0), (50, 0.4, 1), (76, 0.3, 0), (90, 0.2, 0)]
    judged = judge(detections(*found), labels((0, 0), (50, 0), (70, 0), (90, 0)))
    # The second is a double of the first, the third of another class, the fourth 4 / 16 off, the fifth not sure.
    assert judged.scores.tolist() == [pytest.approx(0.9), 0, 0, 0]
    assert judged.false[:, 4].tolist() == pytest.approx([0.5, 0.4, 0.3])


def test_a_box_that_nobody_sees_is_not_false():
    assert not len(judge(torch.tensor([[5.0, 5, 5.5, 40, 0.9, 0]]), labels((0, 0))).false)


@pytest.mark.parametrize("rows", [(), ((0, 0.9, 0),)])
def test_photos_without_labels_or_detections_are_judged(rows):
    judged = judge(detections(*rows), labels())
    assert not len(judged.scores) and len(judged.false) == len(rows)
    assert judge(detections(), labels((0, 0))).found.tolist() == [False]


def test_a_network_loses_nothing_against_itself():
    photos = seen(labels((0, 0), (50, 0)), a=[(0, 0.9, 0), (80, 0.8, 0)], b=[])
    assert mistakes(photos, photos) == []


def test_what_only_the_second_one_misses_or_invents_counts():
    truth = labels((0, 0), (50, 0), (100, 0))
    first = judge(detections((0, 0.9, 0), (50, 0.8, 0), (200, 0.7, 0)), truth)
    second = judge(detections((0, 0.9, 0), (100, 0.8, 0), (202, 0.7, 0), (204, 0.6, 0), (200, 0.5, 1)), truth)
    each = Mistake("a.jpg", first, second)
    assert each.lost.tolist() == [False, True, False]  # the third is won, not lost
    assert each.gained.tolist() == [False, True, True]  # 202 is the 200 of the first one, 204 overlaps it too little
    assert each.count == 3


def test_the_worst_come_first_then_the_surest_then_the_path():
    truth = labels((0, 0), (50, 0))
    both, none = [(0, 0.9, 0), (50, 0.9, 0)], []
    before = seen(truth, two=both, sure=[(0, 0.95, 0)], d=[(0, 0.5, 0)], c=[(0, 0.5, 0)], same=both, gone=both)
    after = seen(truth, two=none, sure=none, d=none, c=none, same=both, new=none)
    assert [(each.path, each.count) for each in mistakes(before, after)] == [
        ("two", 2),
        ("sure", 1),
        ("c", 1),
        ("d", 1),
    ]
    assert mistakes(after, before) == []


def test_the_observer_judges_in_pixels_of_the_originals():
    judge = Judge()
    targets = torch.tensor([[1, 0, 0.25, 0.5, 0.5, 0.5]])  # on the second photo: x 0–20, y 10–30 of 40 pixels
    shape = (20, 20), ((2.0, 2.0), (0.0, 0.0))  # half as large before it was loaded
    found = [torch.zeros(0, 6), torch.tensor([[0, 10, 20, 30, 0.9, 0]])]
    judge(0, torch.zeros(2, 3, 40, 40), targets, ["a", "b"], [shape, shape], found)
    assert [*judge.photos] == ["a", "b"] and not len(judge.photos["a"].labels)
    assert judge.photos["b"].labels.tolist() == [[0, 0, 5, 10, 15]] and judge.photos["b"].found.all()
