"""YOLO label files: rows `class cx cy w h`, or polygons `class x1 y1 x2 y2 x3 y3 …`, all shares of the image's size."""

import math
from collections import Counter
from pathlib import Path

import numpy as np

from utils.data.labels import BOX_COLUMNS, OVERHANG, TOLERANCE, Objects, Problem, gather

SMALLEST_POLYGON = 7  # class and three points
FARTHEST = 2.0  # values beyond are no shares of the image's size, but pixels
CONFIDENCE = BOX_COLUMNS + 1  # columns of a row that ends with one


def read_label_file(path: str | Path, nc: int, accept_conf: bool = False) -> Objects:
    """Return the Objects of a label file as read_labels does."""
    return read_labels(Path(path).read_bytes(), path, nc, accept_conf)


def read_labels(data: bytes, path: str | Path, nc: int, accept_conf: bool = False) -> Objects:
    """Return the Objects of the bytes of a label file; nc: number of classes.

    Its problems are rows with a wrong number of columns, text, NaN, a class outside 0 to nc - 1, values far outside 0
    to 1 and, unless accept_conf, a confidence.
    """
    lines = data.decode("utf-8-sig", "replace").splitlines()
    plain = _plain_objects([words for line in lines if (words := line.split())], nc)
    if plain:
        return plain
    rows, problems = [], []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if accept_conf and len(words) == CONFIDENCE:
            words = words[:-1]
        row, trouble = _parse(words, nc)
        if trouble:
            problems.append(Problem(f"{path}:{number}", *trouble))
        else:
            rows.append(row)
    return gather(rows, Counter(), problems)


def _plain_objects(rows, nc):
    """Return the Objects of rows of words, all at once; None unless all are boxes, or all polygons, without a fault.

    That is what nearly every file holds; the others are read row by row.
    """
    if rows and len(rows[0]) >= SMALLEST_POLYGON:
        return _plain_polygons(rows, nc)
    boxes = _plain_boxes(rows, nc)
    return None if boxes is None else Objects(boxes)


def _plain_polygons(rows, nc):
    """Return the Objects of rows of words; None unless all are polygons inside the image, and once."""
    if any(len(words) < SMALLEST_POLYGON or len(words) % 2 == 0 for words in rows):
        return None
    try:
        numbers = [float(word) for words in rows for word in words]
    except ValueError:
        return None
    ends = np.cumsum([len(words) for words in rows]).tolist()
    starts = [0, *ends[:-1]]
    values = np.array(numbers)
    category, points = values[starts], np.delete(values, starts).reshape(-1, 2)
    first = [(start - index) // 2 for index, start in enumerate(starts)]
    low, high = np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)
    good = (
        _are_classes(category, nc)
        and (low >= -TOLERANCE).all()
        and (high <= 1 + TOLERANCE).all()
        and (np.maximum(low, 0) < np.minimum(high, 1)).all()
    )
    once = len({tuple(numbers[start:end]) for start, end in zip(starts, ends, strict=True)}) == len(rows)
    if not (good and once):
        return None
    points, low, high = points.astype(np.float32), low.astype(np.float32), high.astype(np.float32)
    boxes = np.column_stack([category.astype(np.float32), (low + high) / 2, high - low])
    return Objects(boxes, [points[start:end] for start, end in zip(first, [*first[1:], None], strict=True)])


def _plain_boxes(rows, nc):
    """Return boxes float32 [n, 5] of rows of words; None unless all are boxes inside the image, and once."""
    if any(len(words) != BOX_COLUMNS for words in rows):
        return None
    try:
        numbers = np.array([float(word) for words in rows for word in words]).reshape(-1, BOX_COLUMNS)
    except ValueError:
        return None
    category, values, half = numbers[:, :1], numbers[:, 1:], numbers[:, 3:] / 2
    low, high = values[:, :2] - half, values[:, :2] + half
    good = (
        _are_classes(category, nc)
        and (values >= -TOLERANCE).all()
        and (values <= 1 + TOLERANCE).all()
        and (half >= 0).all()
        and (low >= -OVERHANG).all()
        and (high <= 1 + OVERHANG).all()
        and (np.maximum(low, 0) < np.minimum(high, 1)).all()
    )
    once = len(set(map(tuple, numbers.tolist()))) == len(numbers)
    return numbers.astype(np.float32) if good and once else None


def _are_classes(category, nc):
    """Tell whether all numbers of an array are whole and from 0 to nc - 1."""
    return bool(((category >= 0) & (category < nc) & (category == np.floor(category))).all())


def _parse(words, nc):
    """Return (the numbers of one row, None), or (None, (kind, text) of what is wrong with it)."""
    columns = len(words)
    if columns == CONFIDENCE and all(map(_is_share, words[1:])):
        return None, (
            "with a confidence",
            "6 columns: a confidence at the end, as --save-txt --save-conf writes it; --accept-conf takes such rows",
        )
    if columns != BOX_COLUMNS and (columns < SMALLEST_POLYGON or columns % 2 == 0):
        must = "must be 5 (class cx cy w h) or a class and at least three x y pairs"
        return None, ("with a wrong number of columns", f"{columns} columns; {must}")
    wrong = next((word for word in words if _number(word) is None), None)
    if wrong is not None:
        return None, ("with text", f"{wrong!r} is not a number")
    category, *values = map(float, words)
    if category != category // 1 or not 0 <= category < nc:
        return None, ("of another class", f"class {words[0]}; must be a whole number from 0 to {nc - 1}")
    for word, value in zip(words[1:], values, strict=True):
        if not 1 - FARTHEST <= value <= FARTHEST:  # NaN fails as well
            return None, ("with other values", f"value {word}; must be from 0 to 1, a fraction of the image's size")
    if columns == BOX_COLUMNS and min(values[2:]) < 0:
        return None, ("with other values", f"value {min(words[3:], key=float)}; a width or height is not negative")
    return (category, *values), None


def _number(word):
    """Return a word as a number, or None."""
    try:
        return float(word)
    except ValueError:
        return None


def _is_share(word):
    """Tell whether a word is a number from 0 to 1."""
    return 0 <= (_number(word) if _number(word) is not None else math.nan) <= 1
