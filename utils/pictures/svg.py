"""Small charts as SVG text, for a page that loads nothing. Colours are classes of the page's style sheet."""

import math
from html import escape

WIDTH = 320  # of a chart in its own units; about the pixels of a phone, so that text keeps its size there
LETTER, LINE = 6.0, 10.0  # width and height of a letter, about
LIFTS = (8, -16, 19, -27)  # of a name above its point; below 0: under it
LEFT, RIGHT, TOP, BOTTOM = 40, 14, 10, 32  # margins around the plotting area


class Frame:
    """The plotting area of a chart: maps values to places, and draws axes with ticks."""

    def __init__(self, x_range, y_range, height, left=LEFT):
        """x_range, y_range: (lowest, highest) values; height: of the whole chart; left: margin for the labels there."""
        self.x_range, self.y_range, self.height, self.left = x_range, y_range, height, left

    def x(self, value):
        """Return the horizontal place of a value."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low or 1) * (WIDTH - self.left - RIGHT)

    def y(self, value):
        """Return the vertical place of a value."""
        low, high = self.y_range
        return self.height - BOTTOM - (value - low) / (high - low or 1) * (self.height - TOP - BOTTOM)

    def axes(self, x_ticks, y_ticks, x_label, y_label):
        """Return grid lines and labels as SVG; ticks are pairs (value, text)."""
        parts = []
        for value, text in y_ticks:
            parts.append(f'<path class="grid" d="M{self.left} {self.y(value):.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{self.left - 5}" y="{self.y(value) + 3.5:.1f}" class="end">{escape(text)}</text>')
        for value, text in x_ticks:
            parts.append(
                f'<text x="{self.x(value):.1f}" y="{self.height - BOTTOM + 14}" class="middle">{escape(text)}</text>'
            )
        middle = (self.left + WIDTH - RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{self.height - 3}" class="middle">{escape(x_label)}</text>')
        parts.append(f'<text x="4" y="{TOP - 1}" class="name">{escape(y_label)}</text>' if y_label else "")
        return "".join(parts)


def svg(body, height, title):
    """Return an SVG element; the title is what screen readers say and what the pointer shows."""
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>{body}</svg>'


def ticks(high, count=4, low=0.0):
    """Return at most count + 1 pairs (round value, text) from `low`, 0 or more, to `high`, which is above it."""
    power = 10.0 ** math.floor(math.log10((high - low) / count))
    step = next(factor * power for factor in (1, 2, 5, 10) if (high - low) / (factor * power) <= count)
    return [(k * step, f"{k * step:g}") for k in range(math.ceil(low / step - 1e-9), int(high / step + 1e-9) + 1)]


def histogram(kept, removed, high, title):
    """Return a histogram of values from 0 to `high` as SVG: counts per bin of what stays, on top of it what goes."""
    height, top = 110, max(max((k + r for k, r in zip(kept, removed)), default=0), 1)
    frame = Frame((0, len(kept)), (0, top), height)
    parts = [frame.axes([(0, "0"), (len(kept), f"{high:.2g}")], [(0, "0"), (top, str(top))], "|gamma|", "")]
    width = frame.x(1) - frame.x(0)
    for i, (stays, goes) in enumerate(zip(kept, removed)):
        for name, start, count in (("kept", 0, stays), ("gone", stays, goes)):
            if count:
                y, h = frame.y(start + count), frame.y(start) - frame.y(start + count)
                place = f'x="{frame.x(i):.1f}" y="{y:.1f}" width="{width - 0.5:.1f}" height="{h:.1f}"'
                parts.append(f'<rect class="{name}" {place}/>')
    return svg("".join(parts), height, title)


def curve(xs, ys, y_top, title, x_label):
    """Return one curve of shares (0 to 1) against values from 0 to y_top as SVG."""
    height = 120
    frame = Frame((0, 1), (0, y_top), height)
    body = frame.axes([(x, f"{x:.0%}") for x in (0, 0.5, 1)], ticks(y_top, 3), x_label, "")
    points = [(frame.x(x), frame.y(y)) for x, y in zip(xs, ys)]
    body += f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
    body += "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points)
    return svg(body, height, title)


def scatter(points, x_label, y_label, title, floor=0.0, joined=None):
    """Return points as SVG, joined by a thin line; each is (x, y, name, class of the style sheet).

    x begins at 0 and y at `floor`; the highest value of each must be above that. joined: indices of the points on the
    line, in its order; all of them by default.
    """
    height = 220
    x_top = max(point[0] for point in points) * 1.15
    y_top = floor + (max(point[1] for point in points) - floor) * 1.15
    rows = ticks(y_top, low=floor)
    frame = Frame((0, x_top), (floor, y_top), height, max(LEFT, 10 + LETTER * max(len(text) for _, text in rows)))
    places = [(frame.x(x), frame.y(y)) for x, y, *_ in points]
    line = places if joined is None else [places[i] for i in joined]
    parts = [frame.axes(ticks(x_top, 5), rows, x_label, y_label)]
    parts.append(f'<polyline class="path" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}"/>')
    for (x, y), (*_, name, style) in zip(places, points):
        parts.append(f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    for x, y, name in label_places([(x, y, name) for (x, y), (*_, name, _) in zip(places, points)]):
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="middle">{escape(name)}</text>')
    return svg("".join(parts), height, title)


def label_places(points):
    """Return [(x, y, name)]: where the names of points (x, y, name) go, above or below, so that none covers another."""
    taken = []
    for x, y, name in points:
        for lift in LIFTS:
            clear = all(abs(x - u) > LETTER * (len(name) + len(w)) / 2 or abs(y - lift - v) > LINE for u, v, w in taken)
            if clear and TOP <= y - lift:
                break
        else:
            lift = LIFTS[0]
        taken.append((x, y - lift, name))
    return taken
