"""YOLO label files: reading, checking, and scanning a whole split with a cache."""

import hashlib
import os
from dataclasses import dataclass, fields
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from utils.data.images import check_writable, read_image
from utils.errors import InputError

CACHE_VERSION = 1
BOX_COLUMNS = 5  # class cx cy w h
SMALLEST_POLYGON = 7  # class and three points
TOLERANCE = 1e-6  # rounding that writers of normalised numbers leave outside 0 to 1


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
    """What a scan met: images with label files, without, with empty ones, unreadable images, repeated rows."""

    found: int = 0
    missing: int = 0
    empty: int = 0
    corrupt: int = 0
    duplicate: int = 0

    def __str__(self):
        return ", ".join(f"{getattr(self, field.name)} {field.name}" for field in fields(self))


class LabelFile(NamedTuple):
    """Content of a label file: boxes as Sample.labels, segments as Sample.segments, number of repeated rows dropped."""

    boxes: np.ndarray
    segments: list | None
    duplicates: int


class _Scanned(NamedTuple):
    """What is known of one image after the scan; label is None when there is no label file."""

    shape: tuple[int, int] | None  # None: unreadable
    label: LabelFile | None


def label_path(image):
    """Return the label file of an image: the last /images/ folder becomes /labels/, the suffix .txt."""
    image = Path(image)
    parts = list(image.parts[:-1])
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts, image.stem + ".txt")


def read_label_file(path, nc):
    """Read a YOLO label file: rows `class cx cy w h` or polygons `class x1 y1 x2 y2 x3 y3 …`, all normalised.

    A polygon's box is its bounds. Repeated rows are dropped and counted. Raises InputError that names file and line
    for a wrong number of columns, text, NaN, a value outside 0 to 1 and a class outside 0 to nc - 1.
    """
    lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    unique = {}
    for number, words in rows:
        unique.setdefault(tuple(_parse_row(path, number, words, nc)), None)
    boxes = np.zeros((len(unique), BOX_COLUMNS), np.float32)
    segments = []
    for index, row in enumerate(unique):
        polygon = np.array(row[1:], np.float32).reshape(-1, 2) if len(row) > BOX_COLUMNS else None
        boxes[index] = row[:1] + _bounds(polygon) if polygon is not None else row
        segments.append(polygon)
    has_polygon = any(polygon is not None for polygon in segments)
    return LabelFile(boxes, segments if has_polygon else None, len(rows) - len(unique))


def scan(images, nc, cache_path=None, workers=1, progress=True):
    """Read every image and its label file, once: the result is kept in cache_path until a file changes.

    Images that cannot be decoded are left out and counted; images without a label file are background.
    Returns (list of Sample, Counts). Raises InputError for a bad label row, when more than half of the images are
    corrupt, and when there is not one label file.
    """
    key = _fingerprint(images, nc)
    scanned = _read_cache(cache_path, key, len(images)) if cache_path else None
    if scanned is None:
        scanned = _scan_files(images, nc, workers, progress)
        if cache_path:
            _write_cache(cache_path, key, scanned)
    samples, counts = [], Counts()
    for image, (shape, label) in zip(images, scanned, strict=True):
        if shape is None:
            counts.corrupt += 1
            continue
        samples.append(_sample(image, shape, label, counts))
    _check_counts(images, counts)
    return samples, counts


def _parse_row(path, number, words, nc):
    """Return the numbers of one row or raise InputError."""
    columns = len(words)
    if columns != BOX_COLUMNS and (columns < SMALLEST_POLYGON or columns % 2 == 0):
        raise InputError(
            f"{path}:{number}: {columns} columns; must be 5 (class cx cy w h) or a class and at least three x y pairs"
        )
    try:
        values = [float(word) for word in words]
    except ValueError:
        wrong = next(word for word in words if not _is_number(word))
        raise InputError(f"{path}:{number}: {wrong!r} is not a number") from None
    category, coordinates = values[0], values[1:]
    if category != category // 1 or not 0 <= category < nc:
        raise InputError(f"{path}:{number}: class {words[0]}; must be a whole number from 0 to {nc - 1}")
    for word, value in zip(words[1:], coordinates, strict=True):
        if not -TOLERANCE <= value <= 1 + TOLERANCE:  # NaN fails as well
            raise InputError(f"{path}:{number}: value {word}; must be from 0 to 1, a fraction of the image's size")
    return values


def _is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


def _bounds(polygon):
    """Return (cx, cy, w, h) of the points [k, 2]."""
    low, high = polygon.min(0), polygon.max(0)
    return (*((low + high) / 2), *(high - low))


def _fingerprint(images, nc):
    """Return a hash that changes with every image or label file that is added, removed, replaced or edited."""
    digest = hashlib.sha256(f"{CACHE_VERSION} {nc}".encode())
    for image in images:
        for file in (image, label_path(image)):
            try:
                status = os.stat(file)
                state = f"{status.st_size} {status.st_mtime_ns}"
            except OSError:
                state = "absent"
            digest.update(f"\n{file} {state}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _scan_files(images, nc, workers, progress):
    """Return one _Scanned an image; decoding releases the interpreter lock, so threads are enough."""

    def look(image):
        pixels = read_image(image)
        if pixels is None:
            return _Scanned(None, None)
        file = label_path(image)
        return _Scanned(pixels.shape[:2], read_label_file(file, nc) if file.is_file() else None)

    with ThreadPool(max(workers, 1)) as pool:
        found = pool.imap(look, images, chunksize=8)
        return list(tqdm(found, "Scanning", len(images), disable=None if progress else True, leave=False))


def _sample(image, shape, label, counts):
    """Return the Sample of one readable image and add it to the counts."""
    if label is None:
        counts.missing += 1
        return Sample(str(image), shape, np.zeros((0, BOX_COLUMNS), np.float32))
    counts.found += 1
    counts.empty += not len(label.boxes)
    counts.duplicate += label.duplicates
    return Sample(str(image), shape, label.boxes, label.segments)


def _check_counts(images, counts):
    if counts.corrupt * 2 > len(images):
        folder = Path(images[0]).parent
        raise InputError(f"{folder}: {counts.corrupt} of {len(images)} images cannot be read; is the copy complete?")
    if not counts.found:
        raise InputError(
            f"{Path(images[0]).parent}: none of {len(images)} images has a label file; "
            f"the first one's should be {label_path(images[0])}"
        )


def _read_cache(path, key, number):
    """Return the list of _Scanned that a cache file holds, or None when there is none for this key."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            shapes, objects, duplicates = file["shapes"], file["objects"], file["duplicates"]
            boxes, lengths, points = file["boxes"], file["lengths"], file["points"]
    except Exception:  # a damaged file fails in a dozen ways, and whatever is wrong, the scan can do without it
        return None
    if len(shapes) != number:
        return None
    ends, corners = np.cumsum(np.maximum(objects, 0)), np.cumsum(lengths)
    scanned = []
    for index, count in enumerate(objects):
        shape = tuple(map(int, shapes[index])) if shapes[index].any() else None
        label = None
        if count >= 0:
            rows = range(ends[index] - count, ends[index])
            segments = [points[corners[r] - lengths[r] : corners[r]] if lengths[r] else None for r in rows]
            polygons = any(segment is not None for segment in segments)
            label = LabelFile(boxes[rows.start : rows.stop], segments if polygons else None, int(duplicates[index]))
        scanned.append(_Scanned(shape, label))
    return scanned


def _write_cache(path, key, scanned):
    """Write the cache beside and rename; a folder that cannot be written to means no cache, which is no error."""
    try:
        check_writable(Path(path).parent)
    except OSError:
        return
    labels = [entry.label for entry in scanned if entry.label]
    segments = [s for label in labels for s in label.segments or [None] * len(label.boxes)]
    arrays = {
        "key": np.array(key),
        "shapes": np.array([entry.shape or (0, 0) for entry in scanned], np.int32).reshape(-1, 2),
        "objects": np.array([len(e.label.boxes) if e.label else -1 for e in scanned], np.int64),  # -1: no label file
        "duplicates": np.array([e.label.duplicates if e.label else 0 for e in scanned], np.int64),
        "boxes": np.concatenate([label.boxes for label in labels] or [np.zeros((0, BOX_COLUMNS), np.float32)]),
        "lengths": np.array([0 if s is None else len(s) for s in segments], np.int64),
        "points": np.concatenate([s for s in segments if s is not None] or [np.zeros((0, 2), np.float32)]),
    }
    temporary = Path(f"{path}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            np.savez(stream, **arrays)
        os.replace(temporary, path)
    except OSError:
        pass
    finally:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:  # the folder is read-only
            pass
