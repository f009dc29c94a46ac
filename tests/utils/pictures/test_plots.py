"""Every chart is written, also for the extremes, with the marks of its numbers. How they look was judged by eye."""

import cv2
import numpy as np
import pytest

from utils.boxes.metrics import ConfusionMatrix, score
from utils.files.paths import RunFolder
from utils.pictures import plots
from utils.pictures.figures import write_figure
from utils.pictures.plots import (
    plot_confusion,
    plot_correlogram,
    plot_evaluation,
    plot_labels,
    plot_results,
    plot_ridge,
)
from utils.validation.evaluate import Findings, Tally, summarise

CHARTS = ["F1_curve.png", "PR_curve.png", "P_curve.png", "R_curve.png", "confusion_matrix.png"]


@pytest.fixture
def drawn(monkeypatch):
    """Return the {file name: Figure} of all charts that are written."""
    figures = {}

    def keep(file, figure, **options):
        figures[file.name] = figure
        write_figure(file, figure, **options)

    monkeypatch.setattr(plots, "write_figure", keep)
    return figures


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
    found = Findings(tally, [], [], [0.0, 0.0, 0.0])
    return summarise(found, {index: f"class {index}" for index in range(nc)})


@pytest.mark.parametrize(("nc", "detections"), [(1, 40), (3, 40), (120, 40), (2, 0)])
def test_an_evaluation_gives_five_charts(tmp_path, nc, detections):
    plot_evaluation(
        evaluation_of(nc, detections), {index: f"class {index}" for index in range(nc)}, RunFolder(tmp_path)
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == CHARTS


def test_curves_have_a_line_for_each_class_and_one_for_their_mean(tmp_path, drawn):
    evaluation = evaluation_of(3)
    plot_evaluation(evaluation, {0: "a", 1: "b", 2: "c"}, RunFolder(tmp_path))
    lines = drawn["PR_curve.png"].axes[0].lines
    expected = [*evaluation.scores.pr_curve, evaluation.scores.pr_curve.mean(0)]
    assert len(lines) == 4 and evaluation.scores.pr_curve.any()
    for line, curve in zip(lines, expected, strict=True):
        assert np.array_equal(line.get_ydata(), curve) and line.get_xdata()[-1] == 1
    labels = [line.get_label() for line in lines]
    assert labels[0] == f"a {evaluation.scores.ap[0, 0]:.3f}" and "mAP50" in labels[3]
    for name, curves in (("R_curve.png", evaluation.scores.recall_curve), ("F1_curve.png", evaluation.scores.f1_curve)):
        lines = drawn[name].axes[0].lines
        assert len(lines) == 4 and np.array_equal(lines[2].get_ydata(), curves[2])


def test_confusion_shows_shares_of_the_actual_class(tmp_path, drawn):
    plot_confusion(tmp_path / "matrix.png", np.array([[3, 0, 1], [1, 2, 0], [0, 2, 0]]), {0: "a", 1: "b"})
    axes = drawn["matrix.png"].axes[0]
    shares = [[0.75, 0, 1], [0.25, 0.5, 0], [0, 0.5, 0]]
    assert axes.images[0].get_array().tolist() == shares
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "0.75", (2, 0): "1.00", (0, 1): "0.25", (1, 1): "0.50", (1, 2): "0.50"}
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b", "background"]


def test_labels_are_counted_and_laid_over_each_other(tmp_path, drawn):
    boxes = np.array([[0, 0.5, 0.5, 0.2, 0.4], [2, 0.1, 0.9, 0.1, 0.1], [2, 0.1, 0.9, 0.3, 0.1]])
    plot_labels(tmp_path / "labels.jpg", [boxes, np.zeros((0, 5))], {0: "a", 1: "b", 2: "c"})
    counts, overlaid, centres, _ = drawn["labels.jpg"].axes
    assert [bar.get_height() for bar in counts.patches] == [1, 0, 2]
    assert [(box.get_width(), box.get_height()) for box in overlaid.patches] == [(0.2, 0.4), (0.1, 0.1), (0.3, 0.1)]
    assert overlaid.patches[0].get_xy() == (-0.1, -0.2)
    assert centres.collections[0].get_array().sum() == 3 and centres.collections[0].get_array().max() == 2


def test_results_have_a_panel_for_each_column_but_the_rates(tmp_path, drawn):
    (tmp_path / "results.csv").write_text("epoch, train/box_loss, metrics/mAP_0.5, x/lr0\n0,0.9,0.5,1\n3,0.8,0.6,1\n")
    plot_results(tmp_path / "results.csv", tmp_path / "results.png")
    panels = [axes for axes in drawn["results.png"].axes if axes.lines]
    assert [axes.get_title() for axes in panels] == ["train/box_loss", "metrics/mAP_0.5"]
    assert [axes.lines[0].get_xydata().tolist() for axes in panels] == [[[0, 0.9], [3, 0.8]], [[0, 0.5], [3, 0.6]]]


def test_the_ridge_has_a_line_for_each_epoch_and_keeps_its_bins(tmp_path, drawn):
    counts = np.array([[4, 0, 0], [0, 1, 16]])
    counts = np.column_stack([[9, 900], counts])  # most are at zero, in the end
    silent = np.array([0.1, 0.6])
    plot_ridge(tmp_path / "gamma.png", np.array([0.0, 0.1, 0.5, 1.0]), np.array([0, 7]), counts, silent, 1e-3)
    zeros, axes = drawn["gamma.png"].axes
    heights = [line.get_ydata() - line.get_ydata().min() for line in axes.lines]
    assert len(axes.lines) == len(axes.collections) == 2
    assert heights[1][2] == pytest.approx(2 * heights[0][0]) and heights[1][2] == pytest.approx(4 * heights[1][1])
    assert [tick.get_text() for tick in zeros.get_yticklabels()] == ["0", "7"]
    assert [bar.get_width() for bar in zeros.patches] == [0.1, 0.6]
    (low, high), (next_low, next_high) = ((bar.get_y(), bar.get_y() + bar.get_height()) for bar in zeros.patches)
    assert next_high < low  # one does not lie on the other


def test_confusion_draws_darker_where_more_is(tmp_path):
    plot_confusion(tmp_path / "matrix.png", np.diag([9, 0, 0]), {0: "a", 1: "b"})
    assert cv2.imread(str(tmp_path / "matrix.png")).min() < 120


@pytest.mark.parametrize(
    "labels", [[], [np.array([[0, 0.5, 0.5, 0.2, 0.2], [1, 0.1, 0.9, 0.1, 0.1]]), np.zeros((0, 5))]]
)
def test_labels_are_drawn(tmp_path, labels):
    plot_labels(tmp_path / "labels.jpg", labels, {0: "a", 1: "b"})
    assert cv2.imread(str(tmp_path / "labels.jpg")) is not None


def test_each_pair_of_box_numbers_has_a_panel(tmp_path, drawn):
    boxes = np.array([[0, 0.5, 0.5, 0.2, 0.4], [2, 0.1, 0.9, 0.1, 0.1]])
    plot_correlogram(tmp_path / "both.jpg", [boxes, np.zeros((0, 5))])
    panels = np.reshape(drawn["both.jpg"].axes, (4, 4))
    assert [[panel.axison for panel in row] for row in panels] == np.tri(4, dtype=bool).tolist()
    assert [panel.get_xlabel() for panel in panels[3]] == ["x", "y", "width", "height"]
    heights = [bar.get_height() for bar in panels[1, 1].patches]
    assert [place for place, height in enumerate(heights) if height] == [25, 45]  # y of 0.5 and 0.9, in 50 bins
    assert panels[3, 0].collections[0].get_array().sum() == 2


@pytest.mark.parametrize("rows", [["0,nan,0.5,0.01"], ["0, 0.9, 0.5, 0.01", "1, 0.8, 0.6, 0.02"], []])
def test_results_are_drawn_from_the_table(tmp_path, rows):
    (tmp_path / "results.csv").write_text("\n".join(["epoch, train/box_loss, metrics/mAP_0.5, x/lr0", *rows]) + "\n")
    plot_results(tmp_path / "results.csv", tmp_path / "results.png")
    assert cv2.imread(str(tmp_path / "results.png")) is not None
