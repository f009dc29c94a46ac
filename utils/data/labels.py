"""What is known of an image and its objects, whatever format they were written in."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np

BOX_COLUMNS = 5  # class cx cy w h
TOLERANCE = 1e-6  # rounding that writers of normalised numbers leave outside 0 to 1
OVERHANG = 1e-3  # what an edge may lie outside before the box counts as reaching out of the image
LISTED = 10  # problems that are shown one by one
KINDS = ("duplicate", "clipped", "dropped", "skipped", "difficult", "crowd", "turned")  # what Objects.counts counts


@dataclass
class Sample:
    """One image with its objects.

    labels is float32 [n, 5]: class, cx, cy, w, h, normalised by the image. segments is None, or one entry an object:
    its polygon float32 [k, 2] (x, y normalised), or None for an object that was given as a box.
    """

    path: str
    shape: tuple[int, int]  # h, w
    labels: np.ndarray
    segments: list | None = None


@dataclass
class Counts:
    """What a scan met, first in images: with labels, without, with no object, unreadable; then in objects or rows."""

    found: int = 0
    missing: int = 0
    empty: int = 0
    corrupt: int = 0
    duplicate: int = 0  # rows that are there already
    absent: int = 0  # images that are not there
    clipped: int = 0  # objects that reach out of their image
    dropped: int = 0  # objects outside it, or of no size
    skipped: int = 0  # rows that cannot be read, with --skip-bad-labels
    difficult: int = 0  # objects that are marked so and left out
    crowd: int = 0  # boxes around many objects, left out
    turned: int = 0  # images whose boxes were written for the photo before it was turned upright

    def __str__(self) -> str:
        """Return the first five and those of the others that are not zero."""
        numbers = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        usual = list(numbers)[:BOX_COLUMNS]
        return ", ".join(f"{number} {name}" for name, number in numbers.items() if number or name in usual)


class Problem(NamedTuple):
    """One row that cannot be read: where it is, what kind of problem it has, and that problem in words."""

    place: str
    kind: str
    text: str


@dataclass
class Objects:
    """The objects of one image: boxes as Sample.labels, segments as Sample.segments, what was met, what is wrong."""

    boxes: np.ndarray
    segments: list | None = None
    counts: Counter = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)


def gather(rows: list[tuple], counts: Counter, problems: list[Problem]) -> Objects:
    """Return the Objects of rows (class, cx, cy, w, h) and (class, x1, y1, x2, y2, x3, y3, …), all normalised.

    A polygon's box is its bounds. Objects that reach out of the image are clipped, those outside it and those of no
    size are dropped, and so are repeated ones; all are counted.
    """
    unique: dict = {}
    for row in rows:
        inside = clip(row, counts)
        if inside is not None:
            counts["duplicate"] += inside in unique
            unique.setdefault(inside)
    boxes, segments = np.zeros((len(unique), BOX_COLUMNS), np.float32), []
    for index, row in enumerate(unique):
        polygon = np.array(row[1:], np.float32).reshape(-1, 2) if len(row) > BOX_COLUMNS else None
        boxes[index] = row if polygon is None else (row[0], *_bounds(polygon))
        segments.append(polygon)
    has_polygon = any(polygon is not None for polygon in segments)
    return Objects(boxes, segments if has_polygon else None, counts, problems)


def clip(row: tuple, counts: Counter) -> tuple | None:
    """Return a row as `gather` takes it, cut to the image; None when nothing is left. Counts what it does."""
    if len(row) > BOX_COLUMNS:
        xs, ys = row[1::2], row[2::2]
        low, high = (min(xs), min(ys)), (max(xs), max(ys))
    else:
        _, cx, cy, width, height = row
        low, high = (cx - width / 2, cy - height / 2), (cx + width / 2, cy + height / 2)
    if any(max(a, 0) >= min(b, 1) for a, b in zip(low, high, strict=True)):
        counts["dropped"] += 1
        return None
    values_out = any(not -TOLERANCE <= value <= 1 + TOLERANCE for value in row[1:])
    edges_out = any(a < -OVERHANG or b > 1 + OVERHANG for a, b in zip(low, high, strict=True))
    if not values_out and not edges_out:
        return row
    counts["clipped"] += 1
    if len(row) > BOX_COLUMNS:
        return (row[0], *(min(max(value, 0.0), 1.0) for value in row[1:]))
    left, top, right, bottom = *(max(value, 0.0) for value in low), *(min(value, 1.0) for value in high)
    return row[0], (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def _bounds(polygon):
    """Return (cx, cy, w, h) of the points [k, 2]."""
    low, high = polygon.min(0), polygon.max(0)
    return (*((low + high) / 2), *(high - low))


def list_problems(problems: list[Problem]) -> str:
    """Return the message about rows that cannot be read: the first ones, then a number for each kind."""
    first = [f"{problem.place}: {problem.text}" for problem in problems[:LISTED]]
    if len(problems) == 1:
        return first[0]
    kinds = Counter(problem.kind for problem in problems)
    numbers = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    more = [f"and {len(problems) - LISTED} more"] * (len(problems) > LISTED)
    advice = f"{len(problems)} rows cannot be read ({numbers}); --skip-bad-labels leaves them out"
    return "\n  ".join([advice, *first, *more])
