"""Files within tars: `train-0000.tar/START+SIZE/a.jpg` says where the bytes of a.jpg are, to read them in any order."""

import os
import re
from pathlib import Path
from typing import NamedTuple

MEMBER = re.compile(r"(.+\.tar)/(\d+)\+(\d+)/.+", re.DOTALL)


class Place(NamedTuple):
    """Where the bytes of a file are: in which one on the disk, from where on, how many; None: to its end."""

    file: str | os.PathLike
    start: int = 0
    size: int | None = None

    def read(self, count: int | None = None) -> bytes:
        """Return the bytes, or the first of them. Raises OSError."""
        count = self.size if count is None else count
        with open(self.file, "rb") as stream:
            stream.seek(self.start)
            return stream.read(-1 if count is None else count)


def located(path: str | os.PathLike) -> Place:
    """Return the Place of a file: one that stands by itself, or one within a tar."""
    text = os.fspath(path)
    found = MEMBER.fullmatch(text) if ".tar/" in text else None
    return Place(found[1], int(found[2]), int(found[3])) if found else Place(path)


def member_path(tar: str | Path, name: str, start: int, size: int) -> str:
    """Return the path of a file within a tar."""
    return f"{tar}/{start}+{size}/{name.lstrip('/')}"
