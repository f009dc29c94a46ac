"""What a scan found, kept in one .npz until an image or a label file changes."""

import hashlib
import io
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.data.images import check_writable
from utils.data.labels import BOX_COLUMNS, KINDS, Objects
from utils.errors import InputError
from utils.files.atomic import write_atomically

VERSION = 2


class Scanned(NamedTuple):
    """What is known of one image after the scan; objects is None when there is no label file."""

    shape: tuple[int, int] | None  # None: unreadable
    objects: Objects | None


def fingerprint(annotations: Any) -> str:
    """Return a hash that changes with every image or label file that is added, removed, replaced or edited."""
    digest = hashlib.sha256(f"{VERSION} {annotations.key}".encode("utf-8", "surrogateescape"))
    for image in annotations.images:
        for file in annotations.files(image):
            try:
                status = os.stat(file)
                state = f"{status.st_size} {status.st_mtime_ns}"
            except OSError:
                state = "absent"
            digest.update(f"\n{file} {state}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def read_cache(path: Path, key: str, number: int) -> list[Scanned] | None:
    """Return what a cache file holds of a number of images, or None when there is none for this key."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            shapes, objects, counts = file["shapes"], file["objects"], file["counts"]
            boxes, lengths, points = file["boxes"], file["lengths"], file["points"]
    except Exception:  # a damaged file fails in a dozen ways, and whatever is wrong, the scan can do without it
        return None
    if len(shapes) != number:
        return None
    ends, corners = np.cumsum(np.maximum(objects, 0)), np.cumsum(lengths)
    scanned = []
    for index, count in enumerate(objects):
        height, width = map(int, shapes[index])
        shape = (height, width) if height or width else None
        if count < 0:
            scanned.append(Scanned(shape, None))
            continue
        rows = range(ends[index] - count, ends[index])
        segments = [points[corners[r] - lengths[r] : corners[r]] if lengths[r] else None for r in rows]
        polygons = segments if any(segment is not None for segment in segments) else None
        numbers = Counter(dict(zip(KINDS, map(int, counts[index]), strict=True)))
        scanned.append(Scanned(shape, Objects(boxes[rows.start : rows.stop], polygons, numbers)))
    return scanned


def write_cache(path: Path, key: str, scanned: list[Scanned]) -> None:
    """Write the cache beside and rename; a folder that cannot be written to means no cache, which is no error."""
    try:
        check_writable(Path(path).parent)
    except OSError:
        return
    found = [entry.objects for entry in scanned if entry.objects]
    segments = [s for objects in found for s in objects.segments or [None] * len(objects.boxes)]
    tallies = [[entry.objects.counts[kind] if entry.objects else 0 for kind in KINDS] for entry in scanned]
    arrays: dict[str, Any] = {
        "key": np.array(key),
        "shapes": np.array([entry.shape or (0, 0) for entry in scanned], np.int32).reshape(-1, 2),
        "objects": np.array(
            [len(e.objects.boxes) if e.objects else -1 for e in scanned], np.int64
        ),  # -1: no label file
        "counts": np.array(tallies, np.int64).reshape(-1, len(KINDS)),
        "boxes": np.concatenate([objects.boxes for objects in found] or [np.zeros((0, BOX_COLUMNS), np.float32)]),
        "lengths": np.array([0 if s is None else len(s) for s in segments], np.int64),
        "points": np.concatenate([s for s in segments if s is not None] or [np.zeros((0, 2), np.float32)]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with suppress(InputError):
        write_atomically(path, buffer.getvalue(), durable=False)
