"""The networks of a run as points of charts and rows of tables: the start, and every attempt's end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from utils.slimming.state import Measurement, SlimState, Step

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
    measure: Measurement | None  # None: an attempt that failed before anything was measured
    delivered: bool

    def value(self, key: str) -> float | None:
        """Return a measurement, or None where it is missing or no finite number."""
        return finite(getattr(self.measure, key, None))

    @property
    def norms(self) -> dict[str, list[float]]:
        """The filter norms by layer, see filter_norms."""
        return self.measure.l1 if self.measure else {}


def finite(value: float | None) -> float | None:
    """Return a number, or None for None, NaN and infinities: a diverged network has no loss to draw."""
    return value if value is not None and math.isfinite(value) else None


def state_of(step: Step) -> str:
    """Return kept, undone or, of the attempt that is not finished, under way."""
    return {True: "kept", False: "undone", None: "under way"}[step.kept]


def points_of(state: SlimState) -> list[Point]:
    """Return the Points of a run in the order of their making, the start first."""
    chosen = state.delivered
    points = [Point("start", "start", state.start, chosen == 0)]
    for step in state.steps:
        points.append(Point(step.label, state_of(step), step.network, bool(step.kept) and step.number == chosen))
    return points


def delivered_point(points: Sequence[Point]) -> Point:
    """Return the Point whose network is delivered; the start when none is marked."""
    return next((point for point in points if point.delivered), points[0])


def newest_point(points: Sequence[Point]) -> Point:
    """Return the Point the next step begins with: the last one kept, or the start."""
    return next((point for point in reversed(points) if point.state == "kept"), points[0])


def ratio(point: Point, start: Point, key: str) -> float | None:
    """Return a measurement as a multiple of the start's; None where either is missing or the start's is 0."""
    value, first = point.value(key), start.value(key)
    return value / first if value is not None and first else None


def courses(points: Sequence[Point]) -> list[tuple[Series, list[float | None]]]:
    """Return [(Series, its values as multiples of the start's or None, one per Point)], those without any left out."""
    found = [(series, [ratio(point, points[0], series.key) for point in points]) for series in SERIES]
    return [(series, values) for series, values in found if any(value is not None for value in values)]


def measured(points: Sequence[Point], *keys: str) -> list[Point]:
    """Return the Points that have all of these measurements."""
    return [point for point in points if all(point.value(key) is not None for key in keys)]
