"""Decoded photos kept as .npy beside their files, with a key that says which photo they are of."""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np

from utils.data.images import read_image, write_array
from utils.data.scanning.scan import each
from utils.data.shards.places import located
from utils.errors import InputError
from utils.progress import track

ENDS = 4096  # bytes at the head and the tail of a photo that its key looks at
VERSION = b"photo 1 "
KEY_SIZE = len(VERSION) + 64


def npy_path(path: str | os.PathLike) -> Path:
    """Return the file that caches a decoded image on disk."""
    path = Path(path)
    return path.with_name(f"{path.name}.npy")  # a.png and a.bmp are two images


def photo_key(path: str | os.PathLike) -> bytes:
    """Return what tells a photo from the one that was there before: its size, its time, and its head and tail.

    The time alone would not do: unpacking and copying give a new photo an earlier one. Raises OSError.
    """
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        head = stream.read(ENDS)
        stream.seek(max(status.st_size - ENDS, 0))
        ends = head + stream.read(ENDS)
    digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns} ".encode() + ends)
    return VERSION + digest.hexdigest().encode()


def load_photo(path: str | os.PathLike) -> np.ndarray | None:
    """Return the image of a photo as read_image does, from its cache on disk where that is of this very photo."""
    try:
        return _stored(npy_path(path), photo_key(path))
    except (OSError, ValueError, EOFError):  # no cache, an older kind, or a damaged one
        return read_image(path)


def store_photo(path: str | os.PathLike) -> None:
    """Write the decoded image beside its file unless it is there already. Raises PermissionError and InputError."""
    try:
        key = photo_key(path)
    except OSError:
        return  # a file that went since the scan is reported when it is its turn, as a broken one is
    try:
        _stored(npy_path(path), key)
    except (OSError, ValueError, EOFError):
        image = read_image(path)
        if image is not None:
            write_array(npy_path(path), image, tail=key)


def _stored(file, key):
    """Return the image in a cache file. Raises OSError, ValueError or EOFError when it is not that of the key."""
    with open(file, "rb") as stream:
        stream.seek(-KEY_SIZE, os.SEEK_END)
        if stream.read() != key:
            raise ValueError("of another photo")
        stream.seek(0)
        return np.load(stream, allow_pickle=False)


def on_disk(paths: list[str], workers: int, progress: bool) -> bool:
    """Store the decoded images; return False, with a line on stderr, where that is not possible."""
    if any(located(path).size is not None for path in paths):
        print("photos in tars have no folder for decoded ones: images are not cached", file=sys.stderr)
        return False
    try:
        once = list(dict.fromkeys(paths))
        for _ in track(
            each(lambda index: store_photo(once[index]), len(once), workers), "caching", len(once), shown=progress
        ):
            pass
    except PermissionError as error:
        print(f"{error.filename}: cannot be written ({error.strerror}): images are not cached", file=sys.stderr)
        return False
    except InputError as error:
        print(f"{error}: images are not cached", file=sys.stderr)
        return False
    return True
