"""Where each photo and each label file is in the tars of a split, kept in one .npz until a tar changes.

The tars are those of WebDataset: what a.jpg and a.txt share up to the first dot of the name belongs together.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.data.images import check_writable
from utils.data.samples import Paths, Ragged
from utils.data.shards.places import member_path
from utils.errors import InputError
from utils.files.atomic import write_atomically

LABEL = ".txt"
NO_LABEL = -1, -1
END = tarfile.BLOCKSIZE * 2  # zeros that end a tar


class Index(NamedTuple):
    """The photos of some tars, in the order in which they lie there."""

    images: Paths  # as utils.data.shards.places has them
    labels: np.ndarray  # int64 [n, 2]: start and size of the label file in the same tar, NO_LABEL where there is none
    others: int  # files that are neither the photo nor the label of one


def read_index(files: list[Path], cache: Path, suffixes: tuple[str, ...]) -> Index:
    """Return the Index of tars, from its cache where no tar has changed; suffixes: of photos. Raises InputError."""
    states = [(str(file), os.stat(file).st_size, os.stat(file).st_mtime_ns) for file in files]
    found = _kept(cache, str(states))
    if found is None:
        parts = [index_tar(file, suffixes) for file in files]
        labels = np.array([label for part in parts for label in part[1]], np.int64).reshape(-1, 2)
        found = Index(Paths.of(name for part in parts for name in part[0]), labels, sum(part[2] for part in parts))
        _keep(cache, str(states), found)
    return found


def index_tar(file: Path, suffixes: tuple[str, ...]) -> tuple[list[str], list[tuple[int, int]], int]:
    """Return (images, labels, others) of one tar as Index has them, as lists. Raises InputError."""
    photos: dict[str, str] = {}
    labels: dict[str, tuple[int, int]] = {}
    others = 0
    for name, start, size in _members(file):
        folder, _, base = name.rpartition("/")
        key = f"{folder}/{base.partition('.')[0]}"
        if base.startswith("."):
            others += 1
        elif base.lower().endswith(suffixes) and key not in photos:
            photos[key] = member_path(file, name, start, size)
        elif base.lower().endswith(LABEL) and key not in labels:
            labels[key] = start, size
        else:
            others += 1
    if not photos:
        raise InputError(f"{file}: no images; known suffixes are {' '.join(suffixes)}")
    others += len(labels.keys() - photos.keys())
    return list(photos.values()), [labels.get(key, NO_LABEL) for key in photos], others


def _members(file: Path) -> Iterator[tuple[str, int, int]]:
    """Yield (name, start, size) of the files in a tar. Raises InputError where the tar does not end as it should."""
    try:
        with tarfile.open(file, "r:") as tar:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                if member.isreg() and not member.issparse():
                    yield member.name, member.offset_data, member.size
            end = tar.offset
    except tarfile.TarError as error:
        raise InputError(f"{file}: not a whole tar ({error}); a packed one such as .tar.gz must be unpacked") from None
    with open(file, "rb") as stream:
        stream.seek(end)
        head = stream.read(END)
        rest = iter(lambda: stream.read(1 << 20), b"")
        if len(head) < END:
            raise InputError(f"{file}: is cut off: the zeros at the end of a tar are missing")
        if any(head) or any(block.strip(b"\0") for block in rest):
            raise InputError(f"{file}: goes on behind its end; tars are joined by `tar --concatenate`, not by `cat`")


def _kept(cache, key):
    """Return the Index in a cache file, None when there is none for this key."""
    try:
        with np.load(cache, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            return Index(Paths(Ragged(file["names"], file["lengths"])), file["labels"], int(file["others"]))
    except Exception:  # a damaged file fails in a dozen ways, and the tars say the same
        return None


def _keep(cache, key, index):
    """Write the cache; a folder that cannot be written to means no cache, which is no error."""
    buffer, names = io.BytesIO(), index.images.names
    with suppress(OSError, InputError):
        check_writable(cache.parent)
        np.savez(
            buffer,
            key=np.array(key),
            names=names.values,
            lengths=names.lengths,
            labels=index.labels,
            others=np.array(index.others),
        )
        write_atomically(cache, buffer.getvalue(), durable=False)
