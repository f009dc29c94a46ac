"""Writing a file whole or not at all: beside, flush, fsync, rename."""

import os
from contextlib import suppress
from pathlib import Path

from utils.errors import InputError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Replace the file at `path` by bytes, by way of a file beside it. Raises InputError when that fails."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):  # where a part of the path is a file, not even that works
            beside.unlink()
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
