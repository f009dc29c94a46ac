"""The parts of small SVG charts: frame, axes, ticks, marks. Colours are classes of the pages' style sheet.

All text goes through Markup.format, which escapes it.
"""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

WIDTH = 320  # of a chart in its own units; about the pixels of a phone, so that text keeps its size there
LETTER, LINE = 6.0, 10.0  # width and height of a letter, about
LIFTS = (8, -16, 19, -27)  # of a name above its point; below 0: under it
LEFT, RIGHT, TOP, BOTTOM = 40, 14, 10, 32  # margins around the plotting area

Tick = tuple[float, str]
NOTHING = Markup()


class Frame:
    """The plotting area of a chart: maps values to places, and draws axes with ticks."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float], height: float, left: float = LEFT):
        """x_range, y_range: (lowest, highest) values; height: of the whole chart; left: margin for the labels there."""
        self.x_range, self.y_range, self.height, self.left = x_range, y_range, height, left

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low or 1) * (WIDTH - self.left - RIGHT)

    def y(self, value: float) -> float:
        """Return the vertical place of a value."""
        low, high = self.y_range
        return self.height - BOTTOM - (value - low) / (high - low or 1) * (self.height - TOP - BOTTOM)

    def axes(self, x_ticks: Iterable[Tick], y_ticks: Iterable[Tick], x_label: str, y_label: str = "") -> Markup:
        """Return grid lines and labels; ticks are pairs (value, text)."""
        parts = []
        for value, words in y_ticks:
            parts.append(path("grid", f"M{self.left} {self.y(value):.1f}H{WIDTH - RIGHT}"))
            parts.append(text("end", self.left - 5, self.y(value) + 3.5, words))
        parts += [text("middle", self.x(value), self.height - BOTTOM + 14, words) for value, words in x_ticks]
        parts.append(text("middle", (self.left + WIDTH - RIGHT) / 2, self.height - 3, x_label))
        parts.append(text("name", 4, TOP - 1, y_label) if y_label else NOTHING)
        return NOTHING.join(parts)


def svg(parts: Iterable[Markup], height: float, title: str) -> Markup:
    """Return an SVG element; the title is what screen readers say and what the pointer shows."""
    whole = Markup('<svg viewBox="0 0 {} {}" role="img"><title>{}</title>{}</svg>')
    return whole.format(WIDTH, height, title, NOTHING.join(parts))


def text(kind: str, x: float, y: float, words: str) -> Markup:
    """Return words at a place; kind here and below: class of the style sheet."""
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>').format(x, y, kind, words)


def path(kind: str, course: str) -> Markup:
    """Return a line whose course is written in SVG's path commands."""
    return Markup('<path class="{}" d="{}"/>').format(kind, course)


def bar(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    """Return a rectangle; x, y: its upper left corner."""
    form = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    return form.format(kind, x, y, width, height)


def dot(kind: str, x: float, y: float, radius: float) -> Markup:
    """Return a circle around a place."""
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}"/>').format(kind, x, y, radius)


def polyline(kind: str, places: Iterable[tuple[float, float]], dashes: str = "") -> Markup:
    """Return a line through places (x, y); dashes: lengths of strokes and gaps, as SVG has them."""
    dashed = Markup(' stroke-dasharray="{}"').format(dashes) if dashes else NOTHING
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup('<polyline class="{}"{} points="{}"/>').format(kind, dashed, points)


def group(title: str, parts: Iterable[Markup]) -> Markup:
    """Return marks that belong together; the pointer shows the title."""
    return Markup("<g><title>{}</title>{}</g>").format(title, NOTHING.join(parts))


def ticks(high: float, count: int = 4, low: float = 0.0) -> list[Tick]:
    """Return at most count + 1 pairs (round value, text) from `low`, 0 or more, to `high`, which is above it."""
    power = 10.0 ** math.floor(math.log10((high - low) / count))
    step = next(factor * power for factor in (1, 2, 5, 10) if (high - low) / (factor * power) <= count)
    return [(k * step, f"{k * step:g}") for k in range(math.ceil(low / step - 1e-9), int(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[Tick]:
    """Return pairs (log10 of a round value, text) between two values: 1, 2, 5 of each power of ten, or fewer."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(values) <= 5:
            break
    return [(math.log10(value), f"{value:.1g}") for value in values]


def label_places(points: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Return [(x, y, name)]: where the names of points (x, y, name) go, above or below, so that none covers another."""
    taken: list[tuple[float, float, str]] = []
    for x, y, name in points:
        for lift in LIFTS:
            clear = all(abs(x - u) > LETTER * (len(name) + len(w)) / 2 or abs(y - lift - v) > LINE for u, v, w in taken)
            if clear and y - lift >= TOP:
                break
        else:
            lift = LIFTS[0]
        taken.append((x, y - lift, name))
    return taken
