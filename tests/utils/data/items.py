"""Settings of augmentation, and what items of the data set hold."""

import numpy as np
import torch

AUGMENTED = {
    "mosaic": 1.0,
    "mixup": 0.5,
    "copy_paste": 0.0,
    "degrees": 10.0,
    "translate": 0.1,
    "scale": 0.5,
    "shear": 2.0,
    "perspective": 0.0,
    "hsv_h": 0.015,
    "hsv_s": 0.7,
    "hsv_v": 0.4,
    "flipud": 0.3,
    "fliplr": 0.5,
}
STILL = dict.fromkeys(AUGMENTED, 0.0)
SIZES = [(50, 100), (100, 50), (80, 80), (60, 100), (40, 120), (100, 90)]  # h, w


def find(image):
    """Return the bounds x1, y1, x2, y2 of what is red in an image [3, h, w] in RGB."""
    rows, columns = np.nonzero((image[0].int() - image[2].int()).numpy() > 100)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def corners(labels, image):
    """Return x1, y1, x2, y2 in pixels of the first of labels [n, 5]."""
    size = torch.tensor([image.shape[2], image.shape[1]])
    centre, half = labels[0, 1:3] * size, labels[0, 3:5] * size / 2
    return torch.cat([centre - half, centre + half]).tolist()


def equal(first, second):
    return torch.equal(first[0], second[0]) and torch.equal(first[1], second[1]) and first[2:] == second[2:]
