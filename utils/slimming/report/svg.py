"""The charts of a slim.py run as SVG text, for a page that loads nothing."""

import math
from html import escape

from utils.benchmark.pareto import front
from utils.pictures.svg import LETTER, Frame, scatter, svg, ticks
from utils.pruning.report.page import short
from utils.slimming.report.norms import shown_range
from utils.slimming.report.points import courses, measured
from utils.slimming.report.sentences import layer_label

LABELS = 8  # on an axis of steps
NAMED = 12  # up to so many points, each one's label is written
LONG = 15  # characters of a layer's name that are shown
ROW = 14  # height of a layer in the chart of the norms
LAYERS = 30  # in one such chart; more would not fit a phone's screen
CLASSES = {"start": "before", "kept": "after", "undone": "undone"}


def course_chart(points):
    """Return all measurements by step as SVG, the start's = 1; "" when there are none. Undone attempts are hollow."""
    rows, height = courses(points), 230
    if not rows:
        return ""
    top = max(1.1, 1.05 * max(value for _, values in rows for value in values if value is not None))
    frame = Frame((0, max(len(points) - 1, 1)), (0, top), height)
    every = -(-len(points) // LABELS)
    steps = [(i, points[i].label) for i in range(0, len(points), every)]
    parts = [frame.axes(steps, ticks(top), "step", "")]
    for series, values in rows:
        places = [(frame.x(i), frame.y(v), points[i].state) for i, v in enumerate(values) if v is not None]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, state in places if state != "undone")
        parts.append(
            f'<polyline class="series {series.key}" stroke-dasharray="{series.dashes or "none"}" points="{line}"/>'
        )
        for x, y, state in places:
            style = "hollow" if state == "undone" else "mark"
            parts.append(f'<circle class="{style} {series.key}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    return svg("".join(parts), height, "Each step, the start = 1.0")


def course_key(points, now):
    """Return the legend of course_chart as HTML, with the values of the Point `now`."""
    index = points.index(now)
    keys = []
    for series, values in courses(points):
        value = "" if values[index] is None else f" {values[index]:.2f}"
        line = "dashed" if series.dashes else "solid"
        style = f"border-top:3px {line} var(--{series.key})"
        keys.append(f'<span class="entry"><i class="stroke" style="{style}"></i>{escape(series.title)}{value}</span>')
    return "".join(keys)


def latency_chart(points):
    """Return mAP50-95 over milliseconds an image as SVG, joined along the Pareto front; "" when nothing has both."""
    found = measured(points, "ms", "map")
    places = [(point.value("ms"), point.value("map")) for point in found]
    if not found or max(ms for ms, _ in places) <= 0:
        return ""
    low, high = (limit(score for _, score in places) for limit in (min, max))
    floor = max(low - max(0.5 * (high - low), 0.02), 0.0)  # the differences are small: from 0, all would be on one line
    if high <= floor:
        return ""  # all find nothing
    marked = []
    for point, place in zip(found, places):
        named = point.delivered or point.state == "start" or len(found) <= NAMED
        style = CLASSES[point.state] + (" delivered" if point.delivered else "")
        marked.append((*place, point.label if named else "", style))
    return scatter(marked, "ms an image", "mAP50-95", "Accuracy over time", floor, front(places))


def norm_charts(point, start):
    """Return charts [(SVG, first name, last name)] of a Point's filter norms, LAYERS each, on the same axis.

    A row is a layer: whiskers from the smallest to the largest filter, a box from quartile to quartile, a gap at the
    median; and a mark at the median of the Point `start`, where it has the layer.
    """
    norms, before = point.measure.get("l1") or {}, {} if point is start else start.measure.get("l1") or {}
    span = shown_range(norms, [before[name][2] for name in norms if name in before])
    names = list(norms)
    charts = []
    for first in range(0, len(names), LAYERS):
        some = names[first : first + LAYERS]
        charts.append((norm_chart({name: norms[name] for name in some}, before, span), short(some[0]), short(some[-1])))
    return charts


def norm_chart(norms, before, span):
    """Return one chart of norm_charts; span: (lowest, highest) value of the axis."""
    labels = [layer_label(name, LONG) for name in norms]
    height = 42 + ROW * len(norms)
    low, high = map(math.log10, span)
    frame = Frame((low, high), (len(norms), 0), height, left=round(LETTER * max(map(len, labels))) + 12)
    rows = [(i + 0.5, label) for i, label in enumerate(labels)]
    parts = [frame.axes(log_ticks(*span), rows, "mean |weight| of a filter", "")]
    for i, (name, values) in enumerate(norms.items()):
        y = frame.y(i + 0.5)
        xs = [frame.x(math.log10(min(max(value, span[0]), span[1]))) for value in values]
        mark = before[name][2] if name in before else None
        words = f"{name}: " + ", ".join(f"{value:.3g}" for value in values)
        row = f'<path class="whisker" d="M{xs[0]:.1f} {y:.1f}H{xs[4]:.1f}"/>'
        row += f'<rect class="kept" x="{xs[1]:.1f}" y="{y - 4:.1f}" width="{xs[3] - xs[1]:.1f}" height="8"/>'
        row += f'<path class="median" d="M{xs[2]:.1f} {y - 4:.1f}v8"/>'
        if mark is not None:
            x = frame.x(math.log10(min(max(mark, span[0]), span[1])))
            row += f'<path class="reference" d="M{x:.1f} {y - 6:.1f}v12"/>'
            words += f" (start: {mark:.3g})"
        parts.append(f"<g><title>{escape(words)}</title>{row}</g>")
    return svg("".join(parts), height, "Norms of the filters by layer")


def log_ticks(low, high):
    """Return pairs (log10 of a round value, text) between two values: 1, 2, 5 of each power of ten, or fewer."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(values) <= 5:
            break
    return [(math.log10(value), f"{value:.1g}") for value in values]
