"""Pictures of what the layers of a network make of an image."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch

from models.yolo import DetectionModel
from utils.data.images import write_array, write_image

CHANNELS = 32  # of a layer, the first ones, that are drawn
ACROSS = 8  # of them in a row
GAP = 2  # px between them


@contextmanager
def feature_maps(model: DetectionModel, folder: Path) -> Iterator[None]:
    """After the body, write what the layers of a DetectionModel gave in it.

    For each layer that is folder/stage<layer>_<type>_features.png and .npy. The picture shows the first 32 channels of
    the first image, each stretched to its own smallest and largest value; the .npy holds all channels [C, H, W].
    Detect, and outputs of a single row or column, are left out.
    """
    seen = {}

    def record(layer, _, output):
        """Keep the maps of the first image."""
        if output.ndim == 4 and min(output.shape[2:]) > 1:
            name = f"stage{layer.i}_{layer.type.rpartition('.')[2]}_features"
            seen[name] = output[0].to("cpu", torch.float32, copy=True)  # later layers may change it in place

    handles = [layer.register_forward_hook(record) for layer in list(model.model)[:-1]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    folder.mkdir(parents=True, exist_ok=True)
    for name, maps in seen.items():  # here, so that the time of writing is not taken for that of the network
        write_image(folder / f"{name}.png", tile(maps[:CHANNELS].numpy()))
        write_array(folder / f"{name}.npy", maps.numpy())


def tile(maps: np.ndarray) -> np.ndarray:
    """Return a picture uint8 [h, w, 3] BGR of maps [C, H, W] side by side, in the colours of viridis."""
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    grey = (255 * (maps - low) / np.maximum(high - low, 1e-9)).astype(np.uint8)
    count, height, width = grey.shape
    across = min(ACROSS, count)
    picture = np.full((-(-count // across) * (height + GAP) - GAP, across * (width + GAP) - GAP, 3), 255, np.uint8)
    for index, one in enumerate(grey):
        top, left = (index // across) * (height + GAP), (index % across) * (width + GAP)
        picture[top : top + height, left : left + width] = cv2.applyColorMap(one, cv2.COLORMAP_VIRIDIS)
    return picture
