"""Images without labels: a folder of pictures that only a teacher speaks about."""

from pathlib import Path

import numpy as np

from utils.data.config import folder_images
from utils.data.images import missing_reader
from utils.data.labels import BOX_COLUMNS, Sample
from utils.data.scanning.headers import photo_shape
from utils.data.scanning.reports import say, some
from utils.data.scanning.scan import each
from utils.errors import InputError
from utils.progress import track


def scan_unlabelled(folder: str | Path, workers: int = 1, progress: bool = True) -> tuple[list[Sample], int]:
    """Return (list of Sample without boxes, number of files that cannot be read) of the images in and below a folder.

    Label files are not looked at. Raises InputError when there is no image that can be read.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise InputError(f"{folder}: no such folder; it must be one of images")
    files = folder_images(place)
    found = each(lambda index: _sample(files[index]), len(files), workers)
    samples = list(track(found, "scanning", len(files), shown=progress))
    readable = [sample for sample in samples if sample is not None]
    if not readable:
        raise InputError(f"{folder}: none of {len(files)} images can be read{missing_reader(files)}")
    broken = [file for file, sample in zip(files, samples, strict=True) if sample is None]
    if broken:
        say(f"{folder}: {len(broken)} of {len(files)} images cannot be read: {some(broken)}{missing_reader(broken)}")
    return readable, len(broken)


def _sample(path):
    """Return the Sample of an image file without boxes, or None when it is broken."""
    shape = photo_shape(path)
    return None if shape is None else Sample(str(path), shape, np.zeros((0, BOX_COLUMNS), np.float32))
