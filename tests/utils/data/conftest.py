"""A small folder of images and label files as users have them."""

import cv2
import numpy as np
import pytest

from tests.utils.data.items import SIZES
from utils.data.labels import Sample


@pytest.fixture
def write_image():
    """Return a function that writes an image of noise, h × w, and returns its path."""

    def write(path, height=8, width=10, seed=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))
        return path

    return write


@pytest.fixture
def write_pair(tmp_path, write_image):
    """Return a function that writes images/train/NAME.png with a label file, and returns the image's path."""

    def write(name, text="0 0.5 0.5 0.2 0.2\n", **size):
        image = write_image(tmp_path / "images" / "train" / f"{name}.png", **size)
        label = tmp_path / "labels" / "train" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            label.write_text(text)
        return image

    return write


@pytest.fixture
def samples(tmp_path):
    """Return samples with one red box each, from a quarter to three quarters of a black image, of class 0, 1, ..."""
    made = []
    for index, (height, width) in enumerate(SIZES):
        image = np.zeros((height, width, 3), np.uint8)
        image[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = (0, 0, 255)
        cv2.imwrite(str(tmp_path / f"{index}.png"), image)
        labels = np.array([[index, 0.5, 0.5, 0.5, 0.5]], np.float32)
        made.append(Sample(str(tmp_path / f"{index}.png"), (height, width), labels))
    return made
