"""What detection looks at: the images and the frames of the videos that a user names."""

import glob
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from utils.data.config import IMAGE_SUFFIXES
from utils.data.images import read_image
from utils.errors import InputError

VIDEO_SUFFIXES = (".asf", ".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
KNOWN = f"images ({' '.join(IMAGE_SUFFIXES)}) and videos ({' '.join(VIDEO_SUFFIXES)})"
USUAL_RATE = 30.0  # frames a second of a video that does not say
LIVE = (  # what the public detect.py takes and this one does not, by the form of the name
    (re.compile(r"\d+"), "cameras are not supported"),
    (re.compile(r"[a-z][a-z0-9+.-]+://.*", re.I | re.S), "addresses are not supported; download the file and name it"),
    (re.compile(r"screen(\s+\d+)*", re.I), "screenshots are not supported"),
    (re.compile(r".*\.streams", re.I | re.S), "streams are not supported"),
)


@dataclass
class Item:
    """One picture uint8 [h, w, 3] in BGR of the file `path`.

    Of a video, frame is its number, from 1, and fps the video's frames a second; both are None for an image file.
    """

    path: str
    image: np.ndarray
    frame: int | None = None
    fps: float | None = None


def open_source(source, vid_stride=1):
    """Return an iterator of Item over an image, a video, a folder, a pattern or a .txt list of images and videos.

    A folder's files are taken in the order of their names, without its subfolders. Lines of a list start at the list's
    folder unless absolute. Of a video every vid_stride-th frame is taken, the first included. A file that cannot be
    decoded is skipped with a line on stderr.

    Raises InputError at once for cameras, addresses and screenshots, and where there is no image or video; and at the
    end when not a single file could be decoded.
    """
    return _items(find_pictures(source), source, vid_stride)


def find_pictures(source):
    """Return the files that a source names as a list of Path, not empty. Raises InputError as open_source does."""
    place = Path(source).expanduser()
    if not source.strip():
        raise InputError("source is empty; must be an image, a video, a folder, a pattern or a .txt list")
    if place.is_dir():
        return _known(sorted(place.iterdir()), source, "folder")
    if place.is_file():
        return _listed(place) if place.suffix.lower() == ".txt" else _known([place], source, "file")
    for form, refusal in LIVE:
        if form.fullmatch(source.strip()):
            raise InputError(f"source {source}: {refusal}; images, videos, folders, patterns and .txt lists are")
    if glob.has_magic(source):
        return _known(map(Path, sorted(glob.glob(str(place), recursive=True))), source, "pattern")
    raise InputError(f"source {source}: no such file or folder")


def _known(paths, source, kind):
    """Return the files whose suffix is known or raise InputError when there is none."""
    found = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES + VIDEO_SUFFIXES and path.is_file()]
    if not found:
        raise InputError(f"source {source}: {kind} without images or videos; known are {KNOWN}")
    return found


def _listed(file):
    """Return the files that a list names, one a line, in its order."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        path = file.parent / Path(line.strip()).expanduser()  # an absolute path replaces the folder
        if not path.is_file():
            raise InputError(f"{file}:{number}: {line.strip()}: no such file; paths start at the list's folder")
        found += _known([path], f"{file}:{number}: {line.strip()}", "file")
    if not found:
        raise InputError(f"source {file}: the list is empty; must name an image or a video on each line")
    return found


def _items(paths, source, vid_stride):
    """Yield the Items of the files."""
    anything = False
    for path in paths:
        readable = False
        for item in _frames(path, vid_stride) if path.suffix.lower() in VIDEO_SUFFIXES else _image(path):
            readable = True
            yield item
        anything |= readable
        if not readable:
            print(f"{path}: cannot be decoded: skipped", file=sys.stderr)
    if not anything:
        raise InputError(f"source {source}: not one file could be decoded, of {len(paths)}")


def _image(path):
    """Yield the Item of an image file, none when it is broken."""
    image = read_image(path)
    if image is not None:
        yield Item(str(path), image)


def _frames(path, stride):
    """Yield every stride-th Item of a video file up to its end or its first broken frame."""
    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS)
    fps = rate if math.isfinite(rate) and rate > 0 else USUAL_RATE
    number = 1
    try:
        while (image := capture.read()[1]) is not None:
            yield Item(str(path), image, number, fps)
            for _ in range(stride - 1):
                capture.grab()  # passes over a frame without converting it
            number += stride
    finally:
        capture.release()
