"""A few images of the training split, not augmented: what scores, compensation and statistics are measured on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from utils.data.config import DataConfig
from utils.data.dataset import DetectionDataset
from utils.data.loader import collate
from utils.data.splits import load_split
from utils.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """Letterboxed images uint8 [N, 3, S, S] in RGB, and their boxes, float32 [n, 5] class, normalised cx, cy, w, h."""

    images: torch.Tensor
    labels: list

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> "Calibration":
        """Return the Calibration of the first `count` images."""
        return Calibration(self.images[:count], self.labels[:count])

    def batches(self, device: torch.device, size: int = 8) -> Iterator[Any]:
        """Yield (images float32 [B, 3, S, S] in 0–1, targets [n, 6] image index, class, cx, cy, w, h) on a device."""
        for start in range(0, len(self), size):
            images = self.images[start : start + size].to(device).float() / 255
            labels = self.labels[start : start + size]
            targets = [torch.cat((torch.full((len(rows), 1), float(i)), rows), 1) for i, rows in enumerate(labels)]
            yield images, torch.cat(targets).to(device)


def load_calibration(
    config: DataConfig, count: int, imgsz: int, rng: np.random.Generator, progress: bool = True
) -> Calibration:
    """Return a Calibration of `count` images (or all there are), drawn with `rng` from the training split, else val.

    Raises InputError when the data yaml has neither.
    """
    split = next((name for name in ("train", "val") if getattr(config, name)), None)
    if split is None:
        raise InputError(f"{config.file}: has neither train nor val images to calibrate on")
    samples, _ = load_split(config, split, 1, progress)
    chosen = rng.permutation(len(samples))[:count]
    dataset = DetectionDataset([samples[i] for i in chosen], imgsz)
    items = [dataset[i] for i in range(len(dataset))]
    images = collate(items)[0]
    return Calibration(images, [labels for _, labels, _, _ in items])
