"""What detection looks at: images, videos, cameras and streams that a user names."""

import glob
import math
import re
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from utils.data.config import IMAGE_SUFFIXES
from utils.data.formats.lists import Finder, read_lines
from utils.data.images import missing_reader, read_image
from utils.data.streams import newest_frames
from utils.errors import InputError
from utils.files.downloads import address_name, download, is_address
from utils.files.paths import ROOT, valid_text

VIDEO_SUFFIXES = (".asf", ".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
STILL_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in VIDEO_SUFFIXES)
KNOWN = f"images ({' '.join(STILL_SUFFIXES)}) and videos ({' '.join(VIDEO_SUFFIXES)})"
USUAL_RATE = 30.0  # frames a second of a video that does not say
LIVE = re.compile(r"\d+|(?:https?|rtsps?|rtmps?|rtp|udp|tcp|srt)://\S+", re.I)  # a camera's number, a stream's address
STREAMS = ".streams"  # suffix of a list of them
REFUSED = (  # what the public detect.py takes and this one does not, by the form of the name
    (
        re.compile(r"https?://(?:[\w-]+\.)*(?:youtube\.com|youtu\.be)(?:[/:?].*)?", re.I | re.S),
        "YouTube is not supported; save the video with another tool and name the file",
    ),
    (re.compile(r"screen(\s+\d+)*", re.I), "screenshots are not supported; save one as an image and name the file"),
)


@dataclass
class Item:
    """One picture uint8 [h, w, 3] in BGR of the file, camera or address `path`.

    Of a video or stream, frame is its number, from 1, and fps the frames a second that items have; both are None for an
    image file. live: from a camera or stream, which only ends when the user ends it. place: which of how many files of
    the source it is of, from 1; None when it is live.
    """

    path: str
    image: np.ndarray
    frame: int | None = None
    fps: float | None = None
    live: bool = False
    place: tuple[int, int] | None = None


def open_source(
    source: str,
    vid_stride: int = 1,
    *,
    fetch: Callable[..., Any] = download,
    open_capture: Callable[..., Any] = cv2.VideoCapture,
) -> Generator[Item, None, None]:
    """Return an iterator of Item over what a source names.

    That is an image, a video, a folder, a pattern, a .txt list of images and videos, the address of one, a camera's
    number, a stream's address (rtsp, rtmp, http, …) or a .streams list of those. A folder's files are taken in the
    order of their names, without its subfolders. Lines of a list start at the list's folder unless absolute. Of a video
    every vid_stride-th frame is taken, the first included; of a stream the newest that is. The image or video at an
    address is downloaded into the working folder with fetch(address, path). A file that cannot be decoded is skipped
    with a line on stderr. open_capture makes a cv2.VideoCapture of a camera's number or a stream's address.

    Raises InputError at once where there is nothing of that kind, and for screenshots; with the first item for a stream
    that can't be opened; and at the end when not a single file could be decoded.
    """
    streams = find_streams(source)
    if streams:
        return _live(streams, vid_stride, open_capture)
    if is_address(source) and _refusal(source) is None:
        source = str(fetch(source, Path(address_name(source))))
    return _items(find_pictures(source), source, vid_stride)


def find_streams(source: str) -> list[str]:
    """Return the cameras and addresses that a source names as a list of text, empty when it names files.

    Raises InputError for a .streams list with other lines.
    """
    place, source = Path(source).expanduser(), source.strip()
    if place.suffix.lower() == STREAMS and place.is_file():
        lines = place.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        found = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
        for number, line in found:
            if not LIVE.fullmatch(line) or _refusal(line):
                problem = _refusal(line) or "neither a camera number nor an address"
                raise InputError(f"{place}:{number}: {line}: {problem}")
        if not found:
            raise InputError(f"source {source}: the list is empty; must name a camera or an address on each line")
        return [line for _, line in found]
    if place.exists() or not LIVE.fullmatch(source) or _refusal(source):
        return []
    return [] if is_address(source) and _known_suffix(address_name(source)) else [source]


def _refusal(source):
    """Return in words why a source is not supported, or None."""
    return next((words for form, words in REFUSED if form.fullmatch(source.strip())), None)


def _known_suffix(name):
    """Tell whether a file name is that of an image or a video."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES + VIDEO_SUFFIXES


def find_pictures(source: str) -> list[Path]:
    """Return the files that a source names as a list of Path, not empty.

    A relative path starts at the working folder or, where nothing is there, at the project's. Raises InputError as
    open_source does.
    """
    place = Path(source).expanduser()
    if not source.strip():
        raise InputError("source is empty; must be an image, a video, a folder, a pattern or a .txt list")
    if not place.exists() and (ROOT / place).exists():
        place = ROOT / place
    if place.is_dir():
        return _known(sorted(place.iterdir()), source, "folder")
    if place.is_file():
        return _listed(place) if place.suffix.lower() == ".txt" else _known([place], source, "file")
    if _refusal(source):
        raise InputError(f"source {source}: {_refusal(source)}")
    if glob.has_magic(source):
        return _known(map(Path, sorted(glob.glob(str(place), recursive=True))), source, "pattern")
    raise InputError(f"source {source}: no such file or folder, and neither a camera's number nor a stream's address")


def _known(paths, source, kind):
    """Return the files whose suffix is known or raise InputError when there is none."""
    found = [path for path in paths if _known_suffix(path.name) and path.is_file()]
    if not found:
        raise InputError(f"source {source}: {kind} without images or videos; known are {KNOWN}")
    return found


def _listed(file):
    """Return the files that a list names, one a line, in its order."""
    found, bases = [], (file.parent, Path.cwd())
    finder = Finder(*bases)
    for number, line in read_lines(file):
        path = finder.find(str(Path(line).expanduser()))
        if line.startswith("#") and not path.is_file():
            continue
        if not path.is_file():
            sought = " and ".join(map(str, bases))
            raise InputError(f"{file}:{number}: {line}: no such file; looked for from {sought}")
        found += _known([path], f"{file}:{number}: {line}", "file")
    if not found:
        raise InputError(f"source {file}: the list is empty; must name an image or a video on each line")
    return found


def _live(streams, vid_stride, open_capture):
    """Yield the Items of streams."""
    for name, number, image, rate in newest_frames(streams, vid_stride, open_capture=open_capture):
        yield Item(name, image, number, (rate if _usable(rate) else USUAL_RATE) / vid_stride, live=True)


def _usable(rate):
    """Tell whether a number of frames a second makes sense."""
    return math.isfinite(rate) and rate > 0


def _items(paths, source, vid_stride):
    """Yield the Items of the files."""
    anything = False
    for number, path in enumerate(paths, 1):
        readable = False
        for item in _frames(path, vid_stride) if path.suffix.lower() in VIDEO_SUFFIXES else _image(path):
            readable = True
            yield replace(item, place=(number, len(paths)))
        anything |= readable
        if not readable:
            print(f"{path}: cannot be decoded: skipped{missing_reader([path])}", file=sys.stderr)
    if not anything:
        raise InputError(f"source {source}: none of {len(paths)} files could be decoded")


def _image(path):
    """Yield the Item of an image file, none when it is broken."""
    image = read_image(path)
    if image is not None:
        yield Item(str(path), image)


def _frames(path, stride):
    """Yield every stride-th Item of a video file up to its end or its first broken frame."""
    capture = _open_video(path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    fps = (rate if _usable(rate) else USUAL_RATE) / stride
    number = 1
    try:
        while (image := capture.read()[1]) is not None:
            yield Item(str(path), image, number, fps)
            for _ in range(stride - 1):
                capture.grab()  # passes over a frame without converting it
            number += stride
    finally:
        capture.release()


def _open_video(path):
    """Return the cv2.VideoCapture of a file; one whose name is not UTF-8 is opened through a link."""
    if valid_text(path) == str(path):
        return cv2.VideoCapture(str(path))
    with TemporaryDirectory() as folder:
        link = Path(folder, "video").with_suffix(path.suffix)
        link.symlink_to(path.resolve())
        return cv2.VideoCapture(str(link))
