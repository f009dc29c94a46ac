"""The networks of a slim.json record as points of charts and rows of tables: the start, and every attempt's end."""

import math
from dataclasses import dataclass

MEGA = 1e6


@dataclass(frozen=True)
class Series:
    """A measurement that is followed from step to step, and its line: colours on light and on dark, dashes (SVG)."""

    key: str
    title: str
    light: str
    dark: str
    dashes: str


SERIES = (  # size and parameters nearly cover each other, so their dashes leave gaps
    Series("gflops", "FLOPs", "#1f6feb", "#5a9bff", ""),
    Series("parameters", "parameters", "#0a8578", "#3fc7b8", "6 4"),
    Series("bytes", "file size", "#8250df", "#b48cff", "2 4"),
    Series("ms", "time an image", "#bc4c00", "#ff9a52", ""),
    Series("map", "mAP50-95", "#116329", "#6fcf86", ""),
    Series("loss", "loss", "#cf222e", "#ff8f84", "8 3"),
)


@dataclass(frozen=True)
class Point:
    """One network of a run: `label` is start, 1, 2 or, for a second attempt, 2.2; `state` is start, kept or undone."""

    label: str
    state: str
    measure: dict
    delivered: bool

    def value(self, key):
        """Return a measurement, or None where it is missing or no finite number."""
        return finite(self.measure.get(key))


def finite(value):
    """Return a number, or None for None, NaN and infinities: a diverged network has no loss to draw."""
    return value if value is not None and math.isfinite(value) else None


def label_of(step):
    """Return how a step's attempt is called: its number, with the attempt behind it unless it is the first."""
    return f"{step['number']}.{step['attempt']}" if step["attempt"] > 1 else str(step["number"])


def state_of(step):
    """Return kept, undone or, of the attempt that is not finished, under way."""
    return {True: "kept", False: "undone", None: "under way"}[step.get("kept")]


def result_of(step):
    """Return the measurements that an attempt ended with: those it names, fine-tuned by default; or none, {}."""
    return step[step.get("result") or "finetuned"] or step["pruned"] or {}


def points_of(record):
    """Return the Points of a record in the order of their making, the start first."""
    chosen = record["delivered"]
    points = [Point("start", "start", record["start"] or {}, chosen == 0)]
    for step in record["steps"]:
        points.append(Point(label_of(step), state_of(step), result_of(step), step["kept"] and step["number"] == chosen))
    return points


def delivered_point(points):
    """Return the Point whose network is delivered; the start when none is marked."""
    return next((point for point in points if point.delivered), points[0])


def newest_point(points):
    """Return the Point the next step begins with: the last one kept, or the start."""
    return next((point for point in reversed(points) if point.state == "kept"), points[0])


def ratio(point, start, key):
    """Return a measurement as a multiple of the start's; None where either is missing or the start's is 0."""
    value, first = point.value(key), start.value(key)
    return value / first if value is not None and first else None


def courses(points):
    """Return [(Series, its values as multiples of the start's or None, one per Point)], those without any left out."""
    found = [(series, [ratio(point, points[0], series.key) for point in points]) for series in SERIES]
    return [(series, values) for series, values in found if any(value is not None for value in values)]


def measured(points, *keys):
    """Return the Points that have all of these measurements."""
    return [point for point in points if all(point.value(key) is not None for key in keys)]
