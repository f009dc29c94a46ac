"""Boxes in pixels, and the picture that they were written for: the photo as it is seen, or as the camera stored it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from utils.data.labels import OVERHANG

ORIENTATION = 0x0112  # EXIF tag
SIDEWAYS = (5, 6, 7, 8)  # its values where width and height change places
SAME_ASPECT = 0.02  # by how much aspects may differ when a picture was resized


@dataclass(frozen=True)
class Frame:
    """The picture that boxes were written for: its width and height in pixels, and how it is turned (EXIF) to view."""

    width: int
    height: int
    orientation: int = 1

    @classmethod
    def of(cls, size: tuple[int, int] | None, image: Path, shape: tuple[int, int]) -> "Frame":
        """Return the Frame of boxes whose file says that the photo has a size (h, w), None when it does not.

        shape: (h, w) of the photo, upright. Raises ValueError when neither the photo as it is seen nor as it is stored
        has that size or its aspect.
        """
        size = size or shape
        if size == tuple(shape):
            return cls(size[1], size[0])
        stored = orientation(image)
        if stored in SIDEWAYS and size == (shape[1], shape[0]):
            return cls(size[1], size[0], stored)
        if abs(size[0] * shape[1] / (size[1] * shape[0]) - 1) > SAME_ASPECT:
            raise ValueError(f"width {size[1]}, height {size[0]}, but {image} has {shape[1]}x{shape[0]} pixels")
        return cls(size[1], size[0])

    @property
    def turned(self) -> bool:
        """Tell whether boxes have to be turned with the photo."""
        return self.orientation != 1

    def row(self, box: list[float], counts: Counter) -> tuple[float, float, float, float]:
        """Return a box xyxy in pixels, cut to this picture, as (cx, cy, w, h), shares of the photo as it is seen.

        counts["clipped"] counts the boxes that reach out of it. Nothing is left of those outside: w or h is 0.
        """
        left, top = min(max(box[0], 0), self.width), min(max(box[1], 0), self.height)
        right, bottom = max(min(box[2], self.width), left), max(min(box[3], self.height), top)
        over = max(-box[0] / self.width, box[2] / self.width - 1, -box[1] / self.height, box[3] / self.height - 1)
        counts["clipped"] += over > OVERHANG and right > left and bottom > top
        cx, cy = (left + right) / 2 / self.width, (top + bottom) / 2 / self.height
        width, height = (right - left) / self.width, (bottom - top) / self.height
        if not self.turned:
            return cx, cy, width, height
        turned = {5: (cy, cx), 6: (1 - cy, cx), 7: (1 - cy, 1 - cx), 8: (cy, 1 - cx)}
        return (*turned[self.orientation], height, width)


def orientation(path: Path) -> int:
    """Return how a photo is to be turned to be seen, an EXIF orientation from 1 to 8; 1 when it does not say."""
    try:
        with Image.open(path) as image:
            return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # whatever the reader finds wrong, the photo then is as it is stored
        return 1
