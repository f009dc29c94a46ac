"""Looking through a split once: every image and its labels, and what is wrong with them."""

from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from utils.data.labels import Counts, Objects, list_problems
from utils.data.samples import Samples
from utils.data.scanning.cache import fingerprint, read_cache, write_cache
from utils.data.scanning.headers import photo_shape
from utils.data.scanning.reports import report_labels, report_lost
from utils.data.scanning.table import Table, TableBuilder
from utils.errors import InputError
from utils.progress import track

CHUNK = 32  # images that a thread takes at once


class Annotations(Protocol):
    """The images of a split and how their objects are read: LabelFiles or CocoFiles."""

    images: list[str]
    labels: list[str]  # the label file of each image; empty where there are none
    key: str
    rules: Any  # LabelRules

    def read(self, index: int, shape: tuple[int, int]) -> Objects | None:
        """Return the Objects of an image of shape (h, w), None when nothing is written about it."""


def scan(
    annotations: Annotations,
    cache_path: Path | None = None,
    workers: int = 1,
    progress: bool = True,
    split: str = "images",
    hint: str = "",
) -> tuple[Samples, Counts]:
    """Read the head and the labels of every image, once: the result is kept in cache_path until a file changes.

    Images that are not there or are broken by their head and end are left out, counted and named on stderr; images
    without labels are background. Raises InputError for rows that cannot be read, when more than a tenth of the images
    is missing, when there is not one label file, and when all objects are crowds.

    split: what the images are called in messages. hint: added when images are missing, such as where they were sought.
    """
    images, key = annotations.images, fingerprint(annotations)
    table = read_cache(cache_path, key, len(images)) if cache_path else None
    if table is None:
        table = _scan_files(annotations, workers, progress)
        if cache_path:
            write_cache(cache_path, key, table)
    counts, lost = table.tally(), np.flatnonzero(~table.readable)
    report_lost([images[index] for index in lost], len(images), counts, split, hint)
    report_labels(annotations, table, counts, split)
    return table.samples(images), counts


def _scan_files(annotations: Annotations, workers: int, progress: bool) -> Table:
    """Return the Table of all images. Raises InputError for rows that cannot be read, unless they may be left out."""
    images, decode = annotations.images, annotations.rules.check_photos

    def look(index: int) -> tuple:
        """Return the (h, w) of an image and its Objects."""
        shape = photo_shape(images[index], decode)
        return shape, None if shape is None else annotations.read(index, shape)

    builder = TableBuilder()
    for shape, objects in track(each(look, len(images), workers), "scanning", len(images), shown=progress):
        builder.add(shape, objects)
    if builder.problems and not annotations.rules.skip_bad:
        raise InputError(list_problems(builder.problems))
    return builder.table()


def each(work: Any, number: int, workers: int) -> Iterator[Any]:
    """Yield work(index) for a number of indices in their order, done by threads where there are several workers."""
    if workers <= 1:
        yield from map(work, range(number))
        return
    with ThreadPool(workers) as pool:
        yield from pool.imap(work, range(number), chunksize=CHUNK)
