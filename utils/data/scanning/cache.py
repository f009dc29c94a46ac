"""What a scan found, kept in one .npz until an image or a label file changes."""

import hashlib
import io
import os
from array import array
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.images import check_writable
from utils.data.labels import BOX_COLUMNS, KINDS
from utils.data.scanning.table import Table
from utils.data.shards.places import located
from utils.errors import InputError
from utils.files.atomic import write_atomically

VERSION = 3
ABSENT = -1, -1


def fingerprint(annotations: Any) -> str:
    """Return a hash that changes with every image or label file that is added, removed, replaced or edited.

    Each file is asked for its size and time: its folder's time says nothing about an edit in place.
    """
    digest = hashlib.sha256(f"{VERSION} {annotations.key}".encode("utf-8", "surrogateescape"))
    for files in (annotations.images, annotations.labels):
        digest.update("\0".join(files).encode("utf-8", "surrogateescape"))
        digest.update(_states(files))
    return digest.hexdigest()


def _states(files: Iterable[str]) -> bytes:
    """Return size and time of files, ABSENT where one is not there, as bytes."""
    states = array("q")
    for file in files:
        try:
            status = os.stat(located(file).file)
            states.extend((status.st_size, status.st_mtime_ns))
        except (OSError, ValueError):  # ValueError: a NUL in the name
            states.extend(ABSENT)
    return states.tobytes()


def read_cache(path: Path, key: str, number: int) -> Table | None:
    """Return what a cache file holds of a number of images, or None when there is none for this key."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            table = Table(*(file[name] for name in Table._fields))
    except Exception:  # a damaged file fails in a dozen ways, and whatever is wrong, the scan can do without it
        return None
    return table if _fits(table, number) else None


def _fits(table, number):
    """Tell whether the arrays of a Table belong together."""
    objects = int(np.maximum(table.objects, 0).sum())
    shapes = (number, 2), (number,), (number, len(KINDS)), (objects, BOX_COLUMNS), (objects,)
    fit = all(found.shape == shape for found, shape in zip(table, shapes, strict=False))
    return fit and table.points.shape == (table.lengths.sum(), 2)


def write_cache(path: Path, key: str, table: Table) -> None:
    """Write the cache beside and rename; a folder that cannot be written to means no cache, which is no error."""
    buffer = io.BytesIO()
    with suppress(OSError, InputError):
        check_writable(Path(path).parent)
        np.savez(buffer, allow_pickle=False, key=np.array(key), **table._asdict())
        write_atomically(path, buffer.getvalue(), durable=False)
