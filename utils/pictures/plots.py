"""Charts: curves and confusion matrix of an evaluation, the labels of a data set, the course of a training run."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from utils.boxes.metrics import CONFIDENCES, RECALLS, Scores, smooth
from utils.files.paths import RunFolder
from utils.pictures.figures import write_figure

FEW = 20  # up to so many classes, each gets a line of its own in the legend
FEW_CELLS = 30  # up to so many classes, the numbers of the confusion matrix can be read
NAMED = 100  # up to so many classes, their names fit along an axis
DRAWN_BOXES = 1000
RIDGES = 30  # lines of a ridge at most
GLYPH = 0.62  # mean width of a letter of a name, in sizes of its font
OVERLAP = 3.0  # how many lines high its highest peak is
DPI = 150


def plot_evaluation(evaluation: Any, names: dict[int, str], folder: RunFolder, shown: str = "") -> None:
    """Write PR, F1, P and R curves and, if it was counted, the confusion matrix of an Evaluation into a RunFolder.

    shown: which network it is of, for the titles.
    """
    scores = evaluation.scores
    labels = [names[int(index)] for index in scores.classes]
    plot_pr_curve(folder.pr_curve, scores, labels, shown)
    plot_confidence_curve(folder.f1_curve, scores.f1_curve, "F1", labels, shown)
    plot_confidence_curve(folder.p_curve, scores.precision_curve, "Precision", labels, shown)
    plot_confidence_curve(folder.r_curve, scores.recall_curve, "Recall", labels, shown)
    if evaluation.confusion is not None:
        plot_confusion(folder.confusion_matrix, evaluation.confusion.matrix, names, shown)


def plot_pr_curve(file: Path, scores: Scores, labels: Sequence[str], shown: str = "") -> None:
    """Write precision over recall at IoU 0.5 of utils.boxes.metrics.Scores whose k classes are called `labels`."""
    figure, axes = _axes("Recall", "Precision")
    ap50 = scores.ap[:, 0]
    _lines(axes, RECALLS, scores.pr_curve, [f"{label} {ap:.3f}" for label, ap in zip(labels, ap50)])
    if len(labels):
        mean = f"all classes {ap50.mean():.3f} mAP50"
        axes.plot(RECALLS, scores.pr_curve.mean(0), linewidth=3, color="black", label=mean)
    _finish(figure, axes, file, titled("Precision over recall", shown))


def plot_confidence_curve(file: Path, curve: np.ndarray, name: str, labels: Sequence[str], shown: str = "") -> None:
    """Write a curve [k, 1000] over the confidence, one line for each of k classes and their smoothed mean."""
    figure, axes = _axes("Confidence", name)
    _lines(axes, CONFIDENCES, curve, labels)
    if len(labels):
        mean = smooth(curve.mean(0))
        best = f"all classes {mean.max():.2f} at {CONFIDENCES[mean.argmax()]:.3f}"
        axes.plot(CONFIDENCES, mean, linewidth=3, color="black", label=best)
    _finish(figure, axes, file, titled(f"{name} over confidence", shown))


def plot_confusion(file: Path, matrix: np.ndarray, names: Mapping[int, str], shown: str = "") -> None:
    """Write a confusion matrix [nc + 1, nc + 1] (rows predicted, columns actual) as shares of each column."""
    labels = [*names.values(), "background"]
    shares = matrix / np.maximum(matrix.sum(0, keepdims=True), 1)
    side = min(max(0.5 * len(labels), 6), 14)
    size = min(9, 500 / len(labels))
    # A border by estimate: to measure it, everything would be laid out twice, the slowest part of the picture.
    border = 0.7 + GLYPH * size / 72 * max(map(len, labels)) * (len(labels) <= NAMED)
    width, height = side * 1.15 + border, side + border
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left=border / width, bottom=border / height, right=0.94, top=1 - 0.8 / height)
    axes = figure.add_subplot()
    figure.colorbar(axes.imshow(shares, cmap="Blues", vmin=0, vmax=1), fraction=0.045, pad=0.02)
    if len(labels) <= FEW_CELLS + 1:
        for row, column in np.argwhere(shares >= 0.005):
            tone = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=tone, fontsize=8)
    if len(labels) <= NAMED:
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=size)
        axes.set_yticks(range(len(labels)), labels, fontsize=size)
    title = titled("Confusion matrix, shares of the actual class", shown)
    axes.set(xlabel="Actual", ylabel="Predicted", title=title)
    write_figure(file, figure, dpi=DPI)


def plot_labels(file: Path, labels: Sequence[np.ndarray], names: Mapping[int, str]) -> None:
    """Write how labels are spread: instances by class, boxes laid over each other, centres, sizes.

    labels: arrays [n, 5] class, normalised xywh, one per image.
    """
    rows = np.concatenate([np.zeros((0, 5)), *labels])
    figure = Figure(figsize=(11, 10), layout="constrained")
    counts, boxes, centres, sizes = figure.subplots(2, 2).flat
    counts.bar(range(len(names)), np.bincount(rows[:, 0].astype(int), minlength=len(names)), color="steelblue")
    counts.set(ylabel="Instances", title="Instances by class")
    if len(names) <= NAMED:
        counts.set_xticks(range(len(names)), names.values(), rotation=90, fontsize=min(9, 360 / len(names)))
    for _, _, _, width, height in rows[:: max(len(rows) // DRAWN_BOXES, 1)]:
        boxes.add_patch(Rectangle((-width / 2, -height / 2), width, height, fill=False, linewidth=0.4, alpha=0.5))
    boxes.set(xlim=(-0.5, 0.5), ylim=(0.5, -0.5), title="Boxes around one centre", aspect="equal")
    unit = [[0, 1], [0, 1]]
    centres.hist2d(rows[:, 1], rows[:, 2], bins=50, range=unit, cmap="Blues")
    centres.set(xlabel="x", ylabel="y", ylim=(1, 0), title="Centres (share of the image)", aspect="equal")
    sizes.hist2d(rows[:, 3], rows[:, 4], bins=50, range=unit, cmap="Blues")
    sizes.set(xlabel="width", ylabel="height", title="Sizes (share of the image)", aspect="equal")
    write_figure(file, figure, dpi=DPI)


def plot_correlogram(file: Path, labels: Sequence[np.ndarray]) -> None:
    """Write how place and size of the boxes go together: x, y, width and height, each with each, as in labels.jpg.

    labels: arrays [n, 5] class, normalised xywh, one per image.
    """
    rows = np.concatenate([np.zeros((0, 5)), *labels])[:, 1:]
    names = ("x", "y", "width", "height")
    figure = Figure(figsize=(10, 10), layout="constrained")
    for (row, column), panel in np.ndenumerate(figure.subplots(4, 4)):
        if column > row:
            panel.axis("off")
            continue
        if column == row:
            panel.hist(rows[:, row], bins=50, range=(0, 1), color="steelblue")
        else:
            panel.hist2d(rows[:, column], rows[:, row], bins=50, range=[[0, 1], [0, 1]], cmap="Blues")
        panel.set(xlabel=names[column] if row == 3 else "", ylabel=names[row] if column == 0 else "")
    write_figure(file, figure, dpi=DPI)


def plot_results(table: Path, file: Path, title: str = "") -> None:
    """Write the course of a run: one panel for each column of its results.csv but epoch and the rates x/….

    title: which network was validated.
    """
    with open(table, newline="", encoding="utf-8") as lines:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if row]
    columns = dict(zip(rows[0], np.array(rows[1:], float).reshape(-1, len(rows[0])).T))
    epochs = columns.pop("epoch")
    shown = {name: values for name, values in columns.items() if not name.startswith("x/")}
    across = max((len(shown) + 1) // 2, 1)
    figure = Figure(figsize=(3 * across, 6), layout="constrained")
    for panel, (name, values) in zip(figure.subplots(2, across, squeeze=False).flat, shown.items()):
        panel.plot(epochs, values, marker=".", linewidth=1.5, color="steelblue")
        panel.set_title(name, fontsize=10)
        panel.grid(alpha=0.3)
    if title:
        figure.suptitle(title, fontsize=10)
    write_figure(file, figure, dpi=DPI)


def plot_ridge(
    file: Path, edges: np.ndarray, epochs: np.ndarray, counts: np.ndarray, silent: np.ndarray, bound: float
) -> None:
    """Write the histograms of |gamma| as a ridge: one line an epoch, later ones lower and in front.

    The bin at zero would hide all others, and those of all epochs would be one dark column: what is in it is shown
    beside the ridge, as the share of gammas that are almost zero.

    edges: lower edges of the bins [B]; epochs: [E]; counts: [E, B]; silent: share of the gammas below `bound` [E]. Of
    many epochs, RIDGES evenly spread ones are drawn.
    """
    shown = np.unique(np.linspace(0, len(epochs) - 1, RIDGES).round().astype(int))
    places = -np.arange(len(shown))
    figure = Figure(figsize=(9, 9), layout="constrained")
    left, axes = figure.subplots(1, 2, sharey=True, width_ratios=(1, 4))
    left.barh(places + 0.35, silent[shown], height=0.7, color="steelblue")
    left.set(xlim=(0, 1), xlabel=f"share below {bound:g}", ylabel="epoch")
    left.set_yticks(places, [str(epoch) for epoch in epochs[shown]])
    heights = np.sqrt(counts[shown][:, 1:])
    heights *= OVERLAP / max(heights.max(initial=0), 1)
    for place, height in zip(places, heights):
        tone = "steelblue" if place > places[-1] else "darkblue"
        axes.fill_between(edges[1:], place, place + height, step="post", color=tone, alpha=0.55, linewidth=0)
        axes.step(edges[1:], place + height, where="post", color="white", linewidth=0.8)
    axes.set(
        xlabel=f"|gamma|, from {edges[1]:.3g} on",
        xlim=(0, edges[-1]),
        title="Batch norm weights by epoch (height: root of the count)",
    )
    write_figure(file, figure, dpi=DPI)


def titled(title: str, shown: str) -> str:
    """Return the title of a chart with the network that it shows."""
    return f"{title}\n{shown}" if shown else title


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Return a figure and its axes from 0 to 1."""
    figure = Figure(figsize=(9, 6))
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(0, 1.02))
    return figure, axes


def _lines(axes: Axes, x: np.ndarray, curves: np.ndarray, labels: Sequence[str]) -> None:
    """Draw a line for each class: labelled if they are few, otherwise grey."""
    few = len(labels) <= FEW
    for curve, label in zip(curves, labels):
        axes.plot(x, curve, linewidth=1, label=label if few else None, color=None if few else "lightgrey")


def _finish(figure: Figure, axes: Axes, file: Path, title: str) -> None:
    """Add legend and title and write the figure."""
    axes.set_title(title)
    lines = len(axes.get_legend_handles_labels()[0])
    if lines > 1:
        figure.set_layout_engine("constrained")
        figure.legend(loc="outside right upper", fontsize=8)
    elif lines:
        axes.legend(loc="upper right")
    write_figure(file, figure, dpi=DPI)
