"""Images with their objects in flat arrays: workers share them, and no object an image is kept."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from utils.data.labels import BOX_COLUMNS, Sample


class Ragged(Sequence):
    """Arrays of different length [n, ...] in one, `values`; the rows of the i-th begin at starts[i]."""

    def __init__(self, values: np.ndarray, lengths: Any) -> None:
        """values: the rows of all; lengths: how many rows each has."""
        self.values, self.starts = values, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: Any) -> Any:
        """Return a view of one array, or the Ragged of a slice."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if index < 0:
            index += len(self)
        return self.values[self.starts[index] : self.starts[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """How many rows each array has: int64 [n]."""
        return np.diff(self.starts)

    def take(self, indices: np.ndarray) -> "Ragged":
        """Return some of the arrays, in the order of their indices."""
        indices = np.asarray(indices, np.int64)
        lengths = self.lengths[indices]
        found = Ragged(self.values[:0], lengths)
        rows = np.repeat(self.starts[indices] - found.starts[:-1], lengths) + np.arange(found.starts[-1])
        found.values = self.values[rows]
        return found


class Paths(Sequence):
    """Names of files as text, kept as bytes in one array."""

    def __init__(self, names: Ragged) -> None:
        """names: arrays of bytes."""
        self.names = names

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Paths":
        """Return the Paths of some texts."""
        names = [os.fsencode(text) for text in texts]
        return cls(Ragged(np.frombuffer(b"".join(names), np.uint8), [len(name) for name in names]))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        return os.fsdecode(self.names[index].tobytes())


class Samples(Sequence):
    """Images with their objects; each is a Sample while it is looked at.

    Attributes: paths (Paths), shapes (int32 [n, 2]: h, w), labels (Ragged of float32 [objects, 5], as Sample.labels),
    polygons (Ragged of float32 [points, 2] for each object, without points where it was given as a box).
    """

    def __init__(self, paths: Paths, shapes: np.ndarray, labels: Ragged, polygons: Ragged) -> None:
        self.paths, self.shapes, self.labels, self.polygons = paths, shapes, labels, polygons

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> "Samples":
        """Return the Samples of some Sample."""
        if isinstance(samples, cls):
            return samples
        samples = list(samples)
        labels = [sample.labels.astype(np.float32) for sample in samples]
        polygons = [polygon for sample in samples for polygon in sample.segments or [None] * len(sample.labels)]
        points = [polygon for polygon in polygons if polygon is not None]
        return cls(
            Paths.of(sample.path for sample in samples),
            np.array([sample.shape for sample in samples], np.int32).reshape(-1, 2),
            Ragged(np.concatenate([np.zeros((0, BOX_COLUMNS), np.float32), *labels]), [len(rows) for rows in labels]),
            Ragged(
                np.concatenate([np.zeros((0, 2), np.float32), *points]),
                [0 if polygon is None else len(polygon) for polygon in polygons],
            ),
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        """Return one Sample, or the Samples of a slice."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        height, width = map(int, self.shapes[index])
        return Sample(self.paths[index], (height, width), self.labels[index], self.segments(index))

    def segments(self, index: int) -> list | None:
        """Return the polygons of an image as Sample.segments."""
        first, last = self.labels.starts[index : index + 2] if index >= 0 else self.labels.starts[index - 1 :][:2]
        if self.polygons.starts[first] == self.polygons.starts[last]:
            return None
        found = [self.polygons[row] for row in range(first, last)]
        return [polygon if len(polygon) else None for polygon in found]

    def take(self, indices: np.ndarray) -> "Samples":
        """Return some of the images, in the order of their indices."""
        rows = Ragged(np.arange(len(self.labels.values)), self.labels.lengths).take(indices).values
        paths = Paths(self.paths.names.take(indices))
        return Samples(paths, self.shapes[indices], self.labels.take(indices), self.polygons.take(rows))

    def renumbered(self, new: np.ndarray) -> "Samples":
        """Return the same images with classes numbered by `new`, without the objects of those that it maps to −1."""
        classes = new[self.labels.values[:, 0].astype(int)]
        kept = classes >= 0
        before = np.concatenate([[0], np.cumsum(kept)])
        values = self.labels.values[kept]
        values[:, 0] = classes[kept]
        lengths = np.diff(before[self.labels.starts])
        return Samples(self.paths, self.shapes, Ragged(values, lengths), self.polygons.take(np.flatnonzero(kept)))
