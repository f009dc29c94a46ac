"""What every runtime of a detector has and does, whatever file it is in.

    path, names {index: name}, nc, size_multiple (pixels),
    shape       (height, width) that images must have, or None for any multiple of size_multiple,
    batch       images that one call of the file takes, or None for any number,
and it is called with images float [B, 3, H, W] from 0 to 1, for any B. It returns predictions float32 [B, N, 5 + nc] on
the device of the images: cx, cy, w, h in pixels, objectness, class scores.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from models import limits
from models.errors import shown
from models.yolo import COARSEST
from utils.errors import InputError
from utils.runtimes.metadata import Cost


class Runtime:
    """What all runtimes share; see the module docstring."""

    label = ""  # how tables call it
    nms = False
    cost: Cost = None, None  # parameters, GFLOPs at 640 × 640 pixels

    def __init__(
        self,
        path: str | Path,
        names: dict[int, str],
        stride: int,
        shape: tuple[int, int] | None = None,
        batch: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        """device: where images are expected; others are moved there. For the rest see the module docstring."""
        self.path, self.names, self.nc, self.device = Path(path), names, len(names), torch.device(device)
        self.size_multiple = max(int(stride), COARSEST)
        self.shape, self.batch = shape, batch
        self.check_input()

    def __call__(self, images: torch.Tensor, augment: bool = False) -> torch.Tensor:
        """Return the predictions [B, N, 5 + nc] for images [B, 3, H, W]."""
        if augment:
            raise InputError(f"--augment: works with .pt files only, not with {self.path.name}")
        chunks = [images] if self.batch is None else images.split(self.batch)
        outputs = []
        for chunk in chunks:
            missing = 0 if self.batch is None else self.batch - len(chunk)
            output = self.infer(functional.pad(chunk, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else chunk)
            output = output.to(images.device, torch.float32)
            output = predictions_of(output, len(chunk), self.nc) if self.nms else output[: len(chunk)]
            outputs.append(output)
        most = max(output.shape[1] for output in outputs)  # detections after suppression are not equally many
        return torch.cat([functional.pad(output, (0, 0, 0, most - output.shape[1])) for output in outputs])

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the file's output for as many images as it takes."""
        raise NotImplementedError

    def check_input(self) -> None:
        """Raise InputError when the images that the file says it takes are none, or too large to try."""
        sizes = [1 if self.batch is None else self.batch, *(self.shape or (COARSEST, COARSEST))]
        right = all(type(size) is int and 0 < size <= limits.INPUT_VALUES for size in sizes)
        if not right or 3 * math.prod(sizes) > limits.INPUT_VALUES:
            most = f"must be at most {limits.INPUT_VALUES:,} values"
            raise InputError(f"{self.path}: takes images of batch, height, width {shown(sizes)}; {most}")

    def check_columns(self, shape: Sequence[Any]) -> None:
        """Raise InputError when an output of this shape is not that of a YOLOv5 detector; open sizes are no numbers."""
        columns = 7 if self.nms else 5 + self.nc
        if len(shape) != (2 if self.nms else 3) or isinstance(shape[-1], int) and shape[-1] != columns:
            expected = "[n, 7]" if self.nms else f"[B, N, {columns}] (5 + {self.nc} classes)"
            raise InputError(f"{self.path}: its output is {list(shape)}, but that of a YOLOv5 detector is {expected}")


def fixed_shape(sizes: Sequence[int | None], path: str | Path) -> tuple[int, int] | None:
    """Return the (height, width) in the sizes [B, C, H, W] that a file takes, None when one of the two is open.

    Raises InputError for other sizes than four.
    """
    if not isinstance(sizes, (list, tuple)) or len(sizes) != 4:
        raise InputError(f"{path}: its input is {shown(sizes)}; must be [B, C, H, W]")
    height, width = sizes[2:]
    return (height, width) if height and width else None


def predictions_of(detections: torch.Tensor, count: int, nc: int) -> torch.Tensor:
    """Return detections [n, 7] (image, x1, y1, x2, y2, score, class) as predictions [count, m, 5 + nc].

    Objectness is the score, the detected class has 1: suppression with the same limits gives the detections back.
    """
    rows = [detections[detections[:, 0] == image] for image in range(count)]
    predictions = detections.new_zeros(count, max(map(len, rows), default=0), 5 + nc)
    for image, found in enumerate(rows):
        low, high = found[:, 1:3], found[:, 3:5]
        classes = functional.one_hot(found[:, 6].long(), nc)
        predictions[image, : len(found)] = torch.cat(((low + high) / 2, high - low, found[:, 5:6], classes), 1)
    return predictions
