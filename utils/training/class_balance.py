"""Drawing images with rare or badly detected classes more often (--image-weights)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.training.loop import Hook, Run

FLOOR = 1e-6  # an image without labels, or of perfect classes only, keeps a chance


def class_weights(labels: Sequence[np.ndarray], nc: int) -> np.ndarray:
    """Return weights [nc] that fall with the number of instances, of mean 1. labels: list of [n, 5], class first."""
    classes = np.concatenate([rows[:, 0] for rows in labels]).astype(int) if labels else np.zeros(0, int)
    weights = 1 / np.maximum(np.bincount(classes, minlength=nc), 1)
    return weights * nc / weights.sum()


def image_weights(labels: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return one weight per image [n]: the sum of the class weights [nc] of its instances."""
    return np.array([weights[rows[:, 0].astype(int)].sum() for rows in labels]) + FLOOR


class ImageWeightsHook(Hook):
    """Gives each image a chance by the rarity of its classes and the squared error (1 − mAP) of these so far."""

    def __init__(self, loader: Any, nc: int) -> None:
        """loader: of utils.data.loader; nc: number of classes."""
        self.sampler, self.labels = loader.batch_sampler, loader.dataset.labels
        self.weights = class_weights(self.labels, nc)
        self.maps = np.zeros(nc)

    def start(self, run: Run) -> None:
        """Weigh the images of the first epoch."""
        self.sampler.weights = image_weights(self.labels, self.weights * (1 - self.maps) ** 2)

    def after_validation(self, run: Run) -> None:
        """Weigh the images of the next epoch by what rank 0 measured."""
        if run.evaluation is not None:
            for result in run.evaluation.per_class:
                self.maps[result.index] = result.map
        self.maps = np.array(run.processes.broadcast(self.maps.tolist()))
        self.start(run)

    def state_dict(self) -> dict[str, Any]:
        """Return the mAP of each class."""
        return {"maps": self.maps.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the mAPs."""
        self.maps = np.array(state.get("maps", self.maps))
