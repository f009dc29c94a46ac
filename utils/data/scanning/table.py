"""What a scan found, in flat arrays: as it is gathered, as it is cached, and as the samples are made of it."""

from array import array
from typing import NamedTuple

import numpy as np

from utils.data.labels import BOX_COLUMNS, KINDS, Counts, Objects
from utils.data.samples import Paths, Ragged, Samples


class Table(NamedTuple):
    """What is known of images after the scan."""

    shapes: np.ndarray  # int32 [images, 2]: h, w; zeros: unreadable
    objects: np.ndarray  # int64 [images]: objects; -1: no label file
    counts: np.ndarray  # int32 [images, KINDS]
    boxes: np.ndarray  # float32 [objects, 5] as Sample.labels
    lengths: np.ndarray  # int64 [objects]: points of the polygon, none for a box
    points: np.ndarray  # float32 [points, 2]

    @property
    def readable(self) -> np.ndarray:
        """Which images can be read: bool [images]."""
        return self.shapes.max(1) > 0

    def samples(self, images: list[str]) -> Samples:
        """Return the readable ones of all images that were scanned as Samples."""
        labels = Ragged(self.boxes, np.maximum(self.objects, 0))
        samples = Samples(Paths.of(images), self.shapes, labels, Ragged(self.points, self.lengths))
        return samples if self.readable.all() else samples.take(np.flatnonzero(self.readable))

    def tally(self) -> Counts:
        """Return what was met in the labels of the images that can be read."""
        objects, kinds = self.objects[self.readable], self.counts[self.readable].sum(0)
        counts = Counts(*(int(np.count_nonzero(found)) for found in (objects >= 0, objects < 0, objects == 0)))
        for kind, number in zip(KINDS, kinds, strict=True):
            setattr(counts, kind, int(number))
        return counts


class TableBuilder:
    """Gathers a Table image by image."""

    def __init__(self) -> None:
        self.shapes, self.objects, self.counts = array("i"), array("q"), array("i")
        self.boxes, self.lengths, self.points = array("f"), array("q"), array("f")
        self.problems: list = []  # of all images

    def add(self, shape: tuple[int, int] | None, objects: Objects | None) -> None:
        """Add an image: its (h, w), None where it cannot be read, and its Objects, None without a label file."""
        self.shapes.extend(shape or (0, 0))
        self.objects.append(len(objects.boxes) if objects else -1)
        self.counts.extend([objects.counts[kind] if objects else 0 for kind in KINDS])
        if not objects:
            return
        self.counts[KINDS.index("skipped") - len(KINDS)] += len(objects.problems)
        self.problems += objects.problems
        self.boxes.frombytes(objects.boxes.tobytes())
        for polygon in objects.segments or [None] * len(objects.boxes):
            self.lengths.append(0 if polygon is None else len(polygon))
            if polygon is not None:
                self.points.frombytes(polygon.tobytes())

    def table(self) -> Table:
        """Return the Table of the images so far."""
        return Table(
            np.frombuffer(self.shapes, np.int32).reshape(-1, 2),
            np.frombuffer(self.objects, np.int64),
            np.frombuffer(self.counts, np.int32).reshape(-1, len(KINDS)),
            np.frombuffer(self.boxes, np.float32).reshape(-1, BOX_COLUMNS),
            np.frombuffer(self.lengths, np.int64),
            np.frombuffer(self.points, np.float32).reshape(-1, 2),
        )
