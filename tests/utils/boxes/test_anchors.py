import numpy as np
import pytest
import torch

from utils.boxes.anchors import (
    anchor_fitness,
    best_possible_recall,
    check_anchors,
    k_means,
    search_anchors,
    worst_ratios,
)


class Labels:
    """Stands for a data set of 100×100 images."""

    def __init__(self, sizes):
        self.labels = [np.array([[0, 0.5, 0.5, width / 100, height / 100]]) for width, height in sizes]
        self.shapes = np.full((len(sizes), 2), 100)


def test_agreement_by_hand():
    sizes, anchors = np.array([[10.0, 20.0], [40.0, 40.0]]), np.array([[10.0, 10.0], [20.0, 20.0]])
    assert worst_ratios(sizes, anchors).tolist() == [[0.5, 0.5], [0.25, 0.5]]
    assert best_possible_recall(sizes, anchors, 4.0) == (1.0, 1.5)  # a ratio of exactly 4 does not match
    assert best_possible_recall(sizes, anchors[:1], 4.0) == (0.5, 0.5)
    assert anchor_fitness(sizes, anchors[:1], 4.0) == 0.25


def test_k_means_finds_separate_clusters():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(centre, 0.1, (50, 2)) for centre in (1.0, 5.0, 9.0)])
    centres = np.sort(k_means(points, 3, rng)[:, 0])
    assert centres == pytest.approx([1, 5, 9], abs=0.1)


def test_search_is_sorted_seeded_and_fits():
    sizes = np.random.default_rng(0).uniform(5, 90, (200, 2))
    found = [search_anchors(sizes, 4, 4.0, np.random.default_rng(1), generations=50) for _ in range(2)]
    assert np.array_equal(*found)
    assert (np.diff(found[0].prod(1)) >= 0).all()
    assert best_possible_recall(sizes, found[0], 4.0)[0] > 0.95
    assert search_anchors(sizes[:3], 4, 4.0, np.random.default_rng(1)) is None


def test_fitting_anchors_stay(tiny_model):
    before = tiny_model.model[-1].anchors.clone()
    check_anchors(tiny_model, Labels([(10, 10), (30, 40)]), 100, 4.0, np.random.default_rng(0), say=lambda line: None)
    assert torch.equal(tiny_model.model[-1].anchors, before)


def test_misfits_are_replaced_in_the_order_of_the_strides(tiny_model):
    lines = []
    sizes = [(95, 3), (60, 2.5), (3, 80), (98, 4), (50, 3)] * 4
    check_anchors(tiny_model, Labels(sizes), 100, 4.0, np.random.default_rng(0), say=lines.append)
    detect = tiny_model.model[-1]
    areas = (detect.anchors * detect.stride.view(-1, 1, 1)).prod(2).mean(1)
    assert areas[0] < areas[1] and "→ 1.0000" in lines[0]
    assert torch.equal(detect.anchors, detect.anchors.half().float())  # as a finished checkpoint stores them


def test_a_trained_network_keeps_its_anchors_whatever_they_fit(tiny_model):
    lines, before = [], tiny_model.model[-1].anchors.clone()
    sizes, rng = Labels([(95, 3), (60, 2.5), (3, 80)] * 4), np.random.default_rng(0)
    check_anchors(tiny_model, sizes, 100, 4.0, rng, say=lines.append, keep=True)
    assert torch.equal(tiny_model.model[-1].anchors, before) and "they stay" in lines[0]


def test_no_labels_keep_the_anchors(tiny_model):
    before = tiny_model.model[-1].anchors.clone()
    check_anchors(tiny_model, Labels([]), 100, 4.0, np.random.default_rng(0), say=lambda line: None)
    assert torch.equal(tiny_model.model[-1].anchors, before)
