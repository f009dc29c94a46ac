"""Pictures of what the layers of a network make of an image."""

from contextlib import contextmanager

import cv2
import numpy as np

CHANNELS = 32  # of a layer, the first ones, that are drawn
ACROSS = 8  # of them in a row
GAP = 2  # px between them


@contextmanager
def feature_maps(model, folder):
    """Within the body, write folder/stage<layer>_<type>_features.png and .npy for each layer of a DetectionModel that runs.

    The picture shows the first 32 channels of the first image, each stretched to its own smallest and largest value;
    the .npy holds all channels [C, H, W]. Detect, and outputs of a single row or column, are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def record(layer, _, output):
        if output.ndim == 4 and min(output.shape[2:]) > 1:
            file = folder / f"stage{layer.i}_{layer.type.rpartition('.')[2]}_features.png"
            maps = output[0].float().cpu().numpy()
            cv2.imwrite(str(file), tile(maps[:CHANNELS]))
            np.save(file.with_suffix(".npy"), maps)

    handles = [layer.register_forward_hook(record) for layer in list(model.model)[:-1]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def tile(maps):
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
