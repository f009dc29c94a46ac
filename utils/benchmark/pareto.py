"""The picture of accuracy over time, with the detectors that no other one beats in both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.files.paths import distinct_names


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices, fastest first, of the points (milliseconds, mAP) that no faster one reaches in mAP."""
    best, kept = float("-inf"), []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[index][1] > best:
            best = points[index][1]
            kept.append(index)
    return kept


def plot_pareto(file: Path, results: Sequence[Any]) -> None:
    """Write the mAP50-95 of benchmark.Results over their milliseconds, one front for each number of threads."""
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = distinct_names(row.model for row in results)
    for threads in sorted({row.threads for row in results}):
        rows = [row for row in results if row.threads == threads]
        points = [(row.ms.median, row.map) for row in rows]
        (dots,) = axes.plot(*zip(*points), "o", label=f"{threads} thread{'s' * (threads > 1)}")
        axes.plot(*zip(*(points[i] for i in front(points))), "-", color=dots.get_color())
        for row, point in zip(rows, points):
            label = f"{names[row.model]} {row.height}x{row.width}, {row.runtime}"
            axes.annotate(label, point, xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set(xlabel="milliseconds an image", ylabel="mAP50-95", title="Lines join what no other file beats")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file)
