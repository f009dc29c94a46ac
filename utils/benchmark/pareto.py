"""The picture of accuracy over time, with the detectors that no other one beats in both."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from utils.files.paths import distinct_names
from utils.pictures.figures import write_figure

RISES = sorted(range(-320, 321, 4), key=abs)  # of a label above its point, in points: the nearest first
NEAR = 40  # points: a label that would have to stand further away covers a line instead
Label = tuple[tuple[float, float], str, Any]  # point (milliseconds, mAP), words, colour
DOT = 6  # pixels from the middle of a point to its edge


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices, fastest first, of the points (milliseconds, mAP) that no faster one reaches in mAP."""
    best, kept = float("-inf"), []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[index][1] > best:
            best = points[index][1]
            kept.append(index)
    return kept


def plot_pareto(file: Path, results: Sequence[Any]) -> None:
    """Write the picture that draw_pareto draws."""
    write_figure(file, draw_pareto(results))


def draw_pareto(results: Sequence[Any]) -> Figure:
    """Return the mAP50-95 of benchmark.Results over their milliseconds, one front for each number of threads."""
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = distinct_names(row.model for row in results)
    labels: list[Label] = []
    fronts = []
    for threads in sorted({row.threads for row in results}):
        rows = [row for row in results if row.threads == threads]
        points = [(row.ms.median, row.map) for row in rows]
        (dots,) = axes.plot(*zip(*points), "o", label=f"{threads} thread{'s' * (threads > 1)}")
        fronts.append([points[i] for i in front(points)])
        axes.plot(*zip(*fronts[-1]), "-", color=dots.get_color())
        words = [f"{names[row.model]} {row.height}x{row.width}, {row.runtime}" for row in rows]
        labels += [(point, text, dots.get_color()) for point, text in zip(points, words)]
    axes.set(xlabel="milliseconds an image", ylabel="mAP50-95", title="Lines join what no other file beats")
    axes.margins(x=0.1, y=0.1)
    axes.grid(alpha=0.3)
    legend = axes.legend(loc="lower right")  # slow and inaccurate: rarely anything is there
    figure.draw_without_rendering()  # fixes where everything is
    lines = [box for line in fronts for box in line_boxes(axes, line)]
    add_labels(axes, labels, [legend.get_window_extent()], lines, canvas.get_renderer())
    return figure


def add_labels(
    axes: Axes, labels: Sequence[Label], taken: Sequence[Bbox], lines: Sequence[Bbox], renderer: RendererAgg
) -> None:
    """Write labels beside their points, as near as they cover no other label, no point and no place that is taken.

    Each has the colour of its point. One covers a line rather than to stand further than NEAR; where there is no room
    in the axes at all, it stands over others.
    """
    taken = [*taken, *(dot_box(axes, point) for point, *_ in labels)]
    for point, words, color in labels:
        style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "va": "center", "color": color}
        note = axes.annotate(words, point, (0, 0), **style)
        note.set_in_layout(False)
        near = [rise for rise in RISES if abs(rise) <= NEAR]
        if not put(axes, note, near, [*taken, *lines], renderer):
            put(axes, note, RISES, taken, renderer)
        taken.append(Text.get_window_extent(note, renderer))


def put(axes: Axes, note: Annotation, rises: Sequence[int], taken: Sequence[Bbox], renderer: RendererAgg) -> bool:
    """Move a label to the first of some rises, left or right, where it covers nothing taken; tell whether one was."""
    for rise, side in ((rise, side) for rise in rises for side in ("left", "right")):
        note.set(ha=side)
        note.xyann = (6 if side == "left" else -6, rise)
        note.update_positions(renderer)
        box = Text.get_window_extent(note, renderer)
        if inside(axes, box) and clear(box, taken):
            return True
    return False


def line_boxes(axes: Axes, points: Sequence[tuple[float, float]]) -> list[Bbox]:
    """Return small squares in pixels that cover the line through points."""
    corners = axes.transData.transform(points)
    boxes = []
    for start, end in zip(corners[:-1], corners[1:]):
        for x, y in np.linspace(start, end, 2 + int(np.hypot(*(end - start)) // DOT)):
            boxes.append(Bbox.from_extents(x - 1, y - 1, x + 1, y + 1))
    return boxes


def dot_box(axes: Axes, point: tuple[float, float]) -> Bbox:
    """Return the square in pixels that a point's dot covers."""
    x, y = axes.transData.transform(point)
    return Bbox.from_extents(x - DOT, y - DOT, x + DOT, y + DOT)


def clear(box: Bbox, taken: Iterable[Bbox]) -> bool:
    """Return whether a box overlaps none of others."""
    return not any(box.overlaps(other) for other in taken)


def inside(axes: Axes, box: Bbox) -> bool:
    """Return whether a box in pixels lies in the plotting area."""
    return bool(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1)
