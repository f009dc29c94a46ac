"""The charts of the page of a slim.py run: what of a run's points goes into which chart."""

from collections.abc import Sequence

from utils.benchmark.pareto import front
from utils.pictures.charts import Box, Dot, Entry, Figure, Line, Step, boxes, course, scatter
from utils.pictures.html import short_name
from utils.slimming.report.norms import shown_range
from utils.slimming.report.points import Point, courses, measured
from utils.slimming.report.sentences import layer_label

NAMED = 12  # up to so many points, each one's label is written
LONG = 15  # characters of a layer's name that are shown
LAYERS = 30  # in one chart of the norms; more would not fit a phone's screen
CLASSES = {"start": "before", "kept": "after", "undone": "undone"}
LATENCY = "Grey: start, blue: kept, hollow: undone, green ring: delivered. The line joins what no other beats in both."


def course_figure(points: Sequence[Point], best: Point) -> Figure | None:
    """Return all measurements by step, the start's = 1, with the values of the Point `best` in the legend.

    Undone attempts are hollow. None when nothing is measured.
    """
    found = courses(points)
    if not found:
        return None
    lines = [Line(series.key, series.dashes, values) for series, values in found]
    steps = [Step(point.label, point.state == "undone") for point in points]
    index = points.index(best)
    legend = []
    for series, values in found:
        value = values[index]
        words = f"{series.title} {'–' if value is None else f'{value:.2f}'}"
        legend.append(Entry(series.key, bool(series.dashes), words))
    now = "the start" if best is points[0] else f"step {best.label}"
    caption = f"The start = 1.0; hollow: undone. Numbers: {now}."
    return Figure(course(lines, steps, "Each step, the start = 1.0"), caption, legend)


def latency_figure(points: Sequence[Point]) -> Figure | None:
    """Return mAP50-95 over milliseconds an image, joined along the Pareto front; None when nothing has both."""
    found = measured(points, "ms", "map")
    places = [(point.value("ms"), point.value("map")) for point in found]
    if not found or max(ms for ms, _ in places) <= 0:
        return None
    low, high = (limit(score for _, score in places) for limit in (min, max))
    floor = max(low - max(0.5 * (high - low), 0.02), 0.0)  # the differences are small: from 0, all would be on one line
    if high <= floor:
        return None  # all find nothing
    marked = []
    for point, place in zip(found, places):
        named = point.delivered or point.state == "start" or len(found) <= NAMED
        kind = CLASSES[point.state] + (" delivered" if point.delivered else "")
        marked.append(Dot(*place, point.label if named else "", kind))
    chart = scatter(marked, "ms an image", "mAP50-95", "Accuracy over time", floor, front(places))
    return Figure(chart, LATENCY)


def norm_figures(point: Point, start: Point) -> list[Figure]:
    """Return charts of a Point's filter norms, LAYERS each, on the same axis.

    A row is a layer. It has a mark at the median of the Point `start`, where that has the layer.
    """
    norms, before = point.norms, {} if point is start else start.norms
    medians = {name: before[name][2] for name in norms if name in before}
    span = shown_range(norms, medians.values())
    rows = [Box(name, layer_label(name, LONG), values, medians.get(name)) for name, values in norms.items()]
    figures = []
    for first in range(0, len(rows), LAYERS):
        some = rows[first : first + LAYERS]
        chart = boxes(some, span, "Norms of the filters by layer", "mean |weight| of a filter")
        figures.append(Figure(chart, f"{short_name(some[0].name)} to {short_name(some[-1].name)}"))
    return figures
