"""The charts of the HTML reports, as SVG: histogram, curve, scatter, course of a run, boxes of distributions."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from utils.pictures.svg import (
    LEFT,
    LETTER,
    Frame,
    bar,
    dot,
    group,
    label_places,
    log_ticks,
    path,
    polyline,
    svg,
    text,
    ticks,
)

LABELS = 8  # on an axis of steps
ROW = 14  # height of a box with its whiskers


class Entry(NamedTuple):
    """A line of a legend: its words, and how it is drawn; key: name of its colour in the style sheet."""

    key: str
    dashed: bool
    words: str


class Figure(NamedTuple):
    """A chart as a page shows it."""

    chart: Markup
    caption: str
    legend: Sequence[Entry] = ()


class Dot(NamedTuple):
    """A point of a scatter chart; kind: its classes in the style sheet."""

    x: float
    y: float
    name: str
    kind: str


class Line(NamedTuple):
    """A measurement from step to step, None where it is missing; dashes: as SVG has them, "" for a solid line."""

    key: str
    dashes: str
    values: Sequence[float | None]


class Step(NamedTuple):
    """A step on the axis of a course; one that was undone is hollow and off the line."""

    label: str
    undone: bool


class Box(NamedTuple):
    """A distribution: smallest, lower quartile, median, upper quartile, largest; mark: a median to compare with."""

    name: str
    label: str
    values: Sequence[float]
    mark: float | None


def histogram(kept: Sequence[int], removed: Sequence[int], high: float, title: str) -> Markup:
    """Return a histogram of values from 0 to `high`: counts per bin of what stays, on top of it what goes."""
    height, top = 110, max(max((k + r for k, r in zip(kept, removed)), default=0), 1)
    frame = Frame((0, len(kept)), (0, top), height)
    parts = [frame.axes([(0, "0"), (len(kept), f"{high:.2g}")], [(0, "0"), (top, str(top))], "|gamma|")]
    width = frame.x(1) - frame.x(0) - 0.5
    for i, (stays, goes) in enumerate(zip(kept, removed)):
        for kind, start, count in (("kept", 0, stays), ("gone", stays, goes)):
            if count:
                y = frame.y(start + count)
                parts.append(bar(kind, frame.x(i), y, width, frame.y(start) - y))
    return svg(parts, height, title)


def curve(xs: Sequence[float], ys: Sequence[float], y_top: float, title: str, x_label: str) -> Markup:
    """Return one curve of shares (0 to 1) against values from 0 to y_top."""
    height = 120
    frame = Frame((0, 1), (0, y_top), height)
    places = [(frame.x(x), frame.y(y)) for x, y in zip(xs, ys)]
    axes = frame.axes([(x, f"{x:.0%}") for x in (0, 0.5, 1)], ticks(y_top, 3), x_label)
    return svg([axes, polyline("line", places), *(dot("dot", *place, 2.5) for place in places)], height, title)


def scatter(
    points: Sequence[Dot],
    x_label: str,
    y_label: str,
    title: str,
    floor: float = 0.0,
    joined: Sequence[int] | None = None,
) -> Markup:
    """Return points joined by a thin line.

    x begins at 0 and y at `floor`; the highest value of each must be above that. joined: indices of the points on the
    line, in its order; all of them by default.
    """
    height = 220
    x_top = max(point.x for point in points) * 1.15
    y_top = floor + (max(point.y for point in points) - floor) * 1.15
    rows = ticks(y_top, low=floor)
    frame = Frame((0, x_top), (floor, y_top), height, max(LEFT, 10 + LETTER * max(len(words) for _, words in rows)))
    places = [(frame.x(point.x), frame.y(point.y)) for point in points]
    line = places if joined is None else [places[i] for i in joined]
    parts = [frame.axes(ticks(x_top, 5), rows, x_label, y_label), polyline("path", line)]
    parts += [dot(point.kind, *place, 4) for place, point in zip(places, points)]
    names = label_places([(*place, point.name) for place, point in zip(places, points)])
    parts += [text("middle", x, y, name) for x, y, name in names]
    return svg(parts, height, title)


def course(lines: Sequence[Line], steps: Sequence[Step], title: str) -> Markup:
    """Return lines from step to step, from 0 on; each has at least one value. The key of each is a class."""
    height = 230
    top = max(1.1, 1.05 * max(value for line in lines for value in line.values if value is not None))
    frame = Frame((0, max(len(steps) - 1, 1)), (0, top), height)
    named = [(i, steps[i].label) for i in range(0, len(steps), -(-len(steps) // LABELS))]
    parts = [frame.axes(named, ticks(top), "step")]
    for key, dashes, values in lines:
        places = [(frame.x(i), frame.y(v), steps[i].undone) for i, v in enumerate(values) if v is not None]
        parts.append(polyline(f"series {key}", [(x, y) for x, y, undone in places if not undone], dashes))
        parts += [dot(f"{'hollow' if undone else 'mark'} {key}", x, y, 3) for x, y, undone in places]
    return svg(parts, height, title)


def boxes(rows: Sequence[Box], span: tuple[float, float], title: str, x_label: str) -> Markup:
    """Return a row for each distribution on a logarithmic axis; what lies outside of `span` stands at its edge.

    Whiskers go from the smallest to the largest value, a bar from quartile to quartile, with a gap at the median.
    """
    low, high = span
    height = 42 + ROW * len(rows)
    left = round(LETTER * max(len(row.label) for row in rows)) + 12
    frame = Frame((math.log10(low), math.log10(high)), (len(rows), 0), height, left)
    parts = [frame.axes(log_ticks(low, high), [(i + 0.5, row.label) for i, row in enumerate(rows)], x_label)]
    for i, row in enumerate(rows):
        y, words = frame.y(i + 0.5), f"{row.name}: " + ", ".join(f"{value:.3g}" for value in row.values)
        xs = [frame.x(math.log10(min(max(value, low), high))) for value in row.values]
        marks = [path("whisker", f"M{xs[0]:.1f} {y:.1f}H{xs[4]:.1f}"), bar("box", xs[1], y - 4, xs[3] - xs[1], 8)]
        marks.append(path("median", f"M{xs[2]:.1f} {y - 4:.1f}v8"))
        if row.mark is not None:
            x = frame.x(math.log10(min(max(row.mark, low), high)))
            marks.append(path("reference", f"M{x:.1f} {y - 6:.1f}v12"))
            words += f" (start: {row.mark:.3g})"
        parts.append(group(words, marks))
    return svg(parts, height, title)
