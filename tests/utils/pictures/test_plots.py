"""Every chart is written, also for the extremes. How they look was judged by eye."""

import cv2
import numpy as np
import pytest

from utils.boxes.metrics import ConfusionMatrix, score
from utils.files.paths import RunFolder
from utils.pictures.plots import plot_confusion, plot_evaluation, plot_labels, plot_results
from utils.validation.evaluate import Tally, summarise

CHARTS = ["F1_curve.png", "PR_curve.png", "P_curve.png", "R_curve.png", "confusion_matrix.png"]


def evaluation_of(nc, detections=40):
    """Return the Evaluation of random detections of nc classes."""
    rng = np.random.default_rng(0)
    tally = Tally(ConfusionMatrix(nc))
    tally.images = 1
    tally.scores = lambda: score(
        rng.random((detections, 10)) < 0.5,
        rng.random(detections),
        rng.integers(0, nc, detections),
        np.arange(nc).repeat(30 if detections else 0),
    )
    return summarise(tally, {index: f"class {index}" for index in range(nc)}, [], (0, 0, 0))


@pytest.mark.parametrize(("nc", "detections"), [(1, 40), (3, 40), (120, 40), (2, 0)])
def test_an_evaluation_gives_five_charts(tmp_path, nc, detections):
    plot_evaluation(
        evaluation_of(nc, detections), {index: f"class {index}" for index in range(nc)}, RunFolder(tmp_path)
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == CHARTS


def test_confusion_draws_darker_where_more_is(tmp_path):
    plot_confusion(tmp_path / "matrix.png", np.diag([9, 0, 0]), {0: "a", 1: "b"})
    assert cv2.imread(str(tmp_path / "matrix.png")).min() < 120


@pytest.mark.parametrize(
    "labels", [[], [np.array([[0, 0.5, 0.5, 0.2, 0.2], [1, 0.1, 0.9, 0.1, 0.1]]), np.zeros((0, 5))]]
)
def test_labels_are_drawn(tmp_path, labels):
    plot_labels(tmp_path / "labels.jpg", labels, {0: "a", 1: "b"})
    assert cv2.imread(str(tmp_path / "labels.jpg")) is not None


@pytest.mark.parametrize("rows", [["0,nan,0.5,0.01"], ["0, 0.9, 0.5, 0.01", "1, 0.8, 0.6, 0.02"], []])
def test_results_are_drawn_from_the_table(tmp_path, rows):
    (tmp_path / "results.csv").write_text("\n".join(["epoch, train/box_loss, metrics/mAP_0.5, x/lr0", *rows]) + "\n")
    plot_results(tmp_path / "results.csv", tmp_path / "results.png")
    assert cv2.imread(str(tmp_path / "results.png")) is not None
