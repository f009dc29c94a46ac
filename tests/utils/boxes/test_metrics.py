"""Matching, average precision and the confusion matrix against numbers worked out by hand."""

import numpy as np
import pytest
import torch

from utils.boxes.metrics import (
    CONFIDENCES,
    IOU_THRESHOLDS,
    ConfusionMatrix,
    average_precision,
    envelope,
    fitness,
    harmonic_mean,
    match,
    score,
    smooth,
)


def detection(left, score, label=0, size=10.0):
    return [left, 0.0, left + size, size, score, label]


def label(left, index=0, size=10.0):
    return [index, left, 0.0, left + size, size]


def test_a_perfect_box_is_right_at_every_threshold():
    assert match(torch.tensor([detection(0, 0.9)]), torch.tensor([label(0)])).all()


def test_thresholds_are_compared_with_the_overlap():
    # Shifted by 2 of 10: overlap 8 / 12 = 0.667, so right at 0.50, 0.55, 0.60, 0.65.
    correct = match(torch.tensor([detection(2, 0.9)]), torch.tensor([label(0)]))
    assert correct.tolist() == [[True] * 4 + [False] * 6]


def test_a_label_is_claimed_once_by_the_surest_detection():
    correct = match(torch.tensor([detection(1, 0.9), detection(0, 0.8)]), torch.tensor([label(0)]))
    assert correct[:, 0].tolist() == [True, False]
    assert correct[:, -1].tolist() == [False, True]  # at 0.95 only the second overlaps enough


def test_a_detection_claims_only_the_label_it_overlaps_most():
    labels = torch.tensor([label(0), label(2)])
    correct = match(torch.tensor([detection(0, 0.9), detection(0.5, 0.8)]), labels)
    assert correct[:, 0].tolist() == [True, False]  # both overlap the first label most, the second stays unclaimed


def test_classes_must_agree():
    assert not match(torch.tensor([detection(0, 0.9, label=1)]), torch.tensor([label(0)])).any()


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_match(n, m):
    assert match(torch.zeros(n, 6), torch.zeros(m, 5)).tolist() == [[False] * 10] * n


def test_envelope_is_the_best_precision_at_any_higher_recall():
    recall, precision = envelope(np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3]))
    assert recall.tolist() == [0, 0.5, 0.5, 1, 1]
    assert precision == pytest.approx([1, 1, 2 / 3, 2 / 3, 0])


def test_average_precision_of_perfect_detections_loses_half_a_step_at_the_end():
    # Precision 1 at recalls 0 … 0.99 and, from the sentinel, 0 at 1: 99 whole steps of 100 and a half one.
    assert average_precision(np.array([0.5, 1.0]), np.array([1.0, 1.0])) == pytest.approx(0.995)


def test_average_precision_by_hand():
    # One of two labels found, first: precision 1 up to recall 0.5, then a line down to 0 at 1: 0.5 + 0.25.
    assert average_precision(np.array([0.5]), np.array([1.0])) == pytest.approx(0.75, abs=1e-9)
    assert average_precision(np.array([0.0, 0.0]), np.array([0.0, 0.0])) == 0


def test_scores_by_hand():
    # Class 0: two labels, hits at 0.9 and 0.5, a miss at 0.7. Class 3: one label, never detected.
    correct = np.array([[True], [False], [True]])
    scores = score(correct, np.array([0.9, 0.7, 0.5]), np.zeros(3), np.array([0.0, 0, 3]))
    assert scores.classes.tolist() == [0, 3]
    assert scores.instances.tolist() == [2, 1]
    assert scores.ap[1, 0] == 0
    # Precision falls from 1 to 1/2 and the envelope lifts it to 2/3 beyond recall 1/2. At 1/2 itself np.interp takes
    # the later point: 50 points of 1, then 50 of 2/3, then the sentinel 0.
    assert scores.ap[0, 0] == pytest.approx(0.01 * (0.5 + 49 + 50 * 2 / 3), abs=1e-3)
    at_half = np.searchsorted(CONFIDENCES, 0.5)
    assert scores.recall_curve[0, at_half - 1] == pytest.approx(1)
    assert scores.precision_curve[0, at_half - 1] == pytest.approx(2 / 3)
    assert scores.recall_curve[0, -1] == 0
    assert scores.precision_curve[0, -1] == 1


def test_curves_are_those_at_the_lowest_threshold():
    # The surer one is right at IoU 0.5 alone, the other at both thresholds.
    scores = score(np.array([[True, False], [True, True]]), np.array([0.9, 0.5]), np.zeros(2), np.zeros(2))
    at_one, at_both = np.searchsorted(CONFIDENCES, [0.9, 0.4]) - 1
    assert scores.recall_curve[0, [at_one, at_both]] == pytest.approx([0.5, 1], abs=2e-3)
    assert scores.precision_curve[0, [at_one, at_both]] == pytest.approx([1, 1])
    assert scores.pr_curve[0, 250] == pytest.approx(1)
    assert scores.ap[0, 0] == pytest.approx(0.995)
    assert scores.ap[0, 1] < 0.51  # one of two found, after a wrong one: precision 1/2 up to recall 1/2


def test_f1_is_the_harmonic_mean():
    assert harmonic_mean(np.array([1.0, 0.5, 0.0]), np.array([0.5, 0.5, 0.0])) == pytest.approx([2 / 3, 0.5, 0])
    scores = score(np.array([[True]]), np.array([0.9]), np.zeros(1), np.zeros(2))
    assert scores.f1_curve[0, 500] == pytest.approx(2 / 3) and scores.f1_curve[0, -1] == 0


def test_order_of_detections_does_not_matter():
    rng = np.random.default_rng(0)
    correct, confidence, classes = rng.random((50, 10)) < 0.5, rng.random(50), rng.integers(0, 3, 50)
    actual, order = rng.integers(0, 3, 60), rng.permutation(50)
    first, second = (
        score(correct, confidence, classes, actual),
        score(correct[order], confidence[order], classes[order], actual),
    )
    assert np.array_equal(first.ap, second.ap)
    assert first.best == second.best


def test_detections_of_classes_without_labels_do_not_count():
    scores = score(np.array([[True], [False]]), np.array([0.5, 0.9]), np.array([0, 7]), np.array([0]))
    assert scores.classes.tolist() == [0]
    assert scores.ap[0, 0] == pytest.approx(0.995)


def test_scores_of_nothing_at_all():
    scores = score(np.zeros((0, 10), bool), np.zeros(0), np.zeros(0), np.zeros(0))
    assert scores.ap.shape == (0, 10)


def test_smoothing_keeps_a_constant_and_averages_a_tenth():
    assert smooth(np.full(1000, 0.3)) == pytest.approx(np.full(1000, 0.3))
    peak = np.zeros(1000)
    peak[500] = 1
    smoothed = smooth(peak)
    assert len(smoothed) == 1000
    assert np.flatnonzero(smoothed > 1e-12).tolist() == list(range(450, 551))
    assert smoothed[500] == pytest.approx(1 / 101)


def test_fitness_is_a_tenth_of_map50_and_the_rest_map():
    assert fitness(0.6, 0.4) == pytest.approx(0.42)


def test_iou_thresholds_are_those_of_coco():
    assert IOU_THRESHOLDS.tolist() == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])


def test_confusion_matrix_by_hand():
    confusion = ConfusionMatrix(2)
    detections = torch.tensor(
        [detection(0, 0.9, 0), detection(20, 0.8, 1), detection(60, 0.7, 1), detection(40, 0.1, 0)]
    )
    confusion.add(detections, torch.tensor([label(0, 0), label(21, 0), label(40, 1)]))
    # Right; a 0 taken for a 1; a 1 missed, as its detection is unsure; a 1 seen where nothing is.
    assert confusion.matrix.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_confusion_pairs_the_greatest_overlap_first():
    confusion = ConfusionMatrix(2)
    confusion.add(torch.tensor([detection(2, 0.9, 0), detection(0, 0.8, 1)]), torch.tensor([label(0, 1)]))
    assert confusion.matrix.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 2), (2, 0)])
def test_confusion_counts_background_without_pairs(n, m):
    confusion = ConfusionMatrix(1)
    confusion.add(torch.tensor([detection(0, 0.9)] * n).reshape(n, 6), torch.tensor([label(0)] * m).reshape(m, 5))
    assert confusion.matrix.tolist() == [[0, n], [m, 0]]


def test_above_the_surest_detection_nothing_is_found_and_nothing_wrong():
    scores = score(np.array([[True, False]]), np.array([0.5]), np.zeros(1), np.zeros(2))
    assert (scores.recall_curve[0, -1], scores.precision_curve[0, -1]) == (0, 1)
    assert scores.pr_curve[0, -1] == 0  # one of two labels is never found
