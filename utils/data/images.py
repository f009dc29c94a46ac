"""Reading image files and the size rule of resizing."""

import errno
import os
import stat
from pathlib import Path

import cv2
import numpy as np

JPEG_SUFFIXES = (".jpg", ".jpeg", ".mpo")
JPEG_END = b"\xff\xd9"
JPEG_TAIL = 4096  # cameras append notes behind the end marker


def read_image(path):
    """Return an image file as uint8 [h, w, 3] in BGR, turned upright by its EXIF data, or None when it is broken.

    A JPEG whose end is missing counts as broken: OpenCV would fill the rest with grey, under labels that stay.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    truncated = Path(path).suffix.lower() in JPEG_SUFFIXES and JPEG_END not in data[-JPEG_TAIL:].tobytes()
    if truncated or not data.size:
        return None
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:  # for example more pixels than OpenCV allows
        return None


def fitted_size(height, width, imgsz):
    """Return (h, w) with the long side equal to imgsz and the short side rounded up."""
    longest = max(height, width)
    return -(-height * imgsz // longest), -(-width * imgsz // longest)


def fit_image(image, imgsz, shrink_by_area):
    """Resize [h, w, c] so that its long side is imgsz: linear, or by area when shrinking and shrink_by_area is set."""
    height, width = fitted_size(*image.shape[:2], imgsz)
    if (height, width) == image.shape[:2]:
        return image
    by_area = shrink_by_area and imgsz < max(image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if by_area else cv2.INTER_LINEAR)


def check_writable(folder):
    """Raise PermissionError for a folder that is marked read-only.

    Root, the usual user in containers, could write there all the same, into data that its owner wants left alone.
    """
    if not os.stat(folder).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def write_array(path, array):
    """Write an array as .npy beside `path` and rename, so that no half-written file is ever read.

    Raises OSError where that is not possible or not wanted (check_writable).
    """
    check_writable(Path(path).parent)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as stream:
            np.save(stream, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
