"""Writing files whole or not at all: beside under a name of their own, flush, fsync, rename.

What lies beside is locked while its writer lives. So what a killed process left behind is told from what another one
is writing, and the next writer of the same file removes it.
"""

import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path

from utils.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: leftovers stay
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".tmp"
RANDOM = 6  # bytes of a temporary name
SHOWN = 40  # characters of a name that its temporary one has: a name may have 255 bytes


def write_atomically(path: str | Path, data: bytes, durable: bool = True) -> None:
    """Replace the file at `path` by bytes. See write_together."""
    write_together({Path(path): data}, durable=durable)


def write_together(
    contents: Mapping[Path, bytes], make_room: Callable[[], object] | None = None, durable: bool = True
) -> None:
    """Replace files by bytes, none of them before all are written beside their places.

    Args:
        contents: {path: bytes}. A link is replaced, never followed.
        make_room: called when nothing but the renaming is left, to move away what is in the places.
        durable: wait until the disk has them. Not for what can be made again, such as caches and pictures.

    Raises InputError when that fails. The places then hold what they held before, and nothing is left beside them.
    """
    with ExitStack() as stack:
        staged = {path: stack.enter_context(written_beside(path, data, durable)) for path, data in contents.items()}
        if make_room:
            make_room()
        for path, beside in staged.items():
            with naming(path):
                beside.replace(path)
        if durable:
            for folder in {path.parent for path in staged}:
                sync_folder(folder)


@contextmanager
def written_beside(path: Path, data: bytes, durable: bool) -> Iterator[Path]:
    """Write bytes into a new file in the folder of `path`, made if missing; remove it afterwards if it's still there.

    Raises InputError.
    """
    with naming(path):
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: cannot be written (something is there that is no file)")
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, path.name)
        descriptor, beside = locked_file(path)
    try:
        with open(descriptor, "wb", buffering=0) as file:  # a buffer would try again when it is closed
            with naming(path):
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
                if durable:
                    os.fsync(descriptor)
                if not fcntl:  # Windows does not rename open files; elsewhere they stay locked until they are renamed
                    file.close()
            yield beside
    finally:
        with suppress(OSError):
            beside.unlink()


def locked_file(path: Path) -> tuple[int, Path]:
    """Create a file beside `path` that was not there, and lock it; return (descriptor, its path). Raises OSError."""
    while True:
        beside = temporary_name(path)
        # Exclusive: what lies there under this name already, a link above all, is never written to.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if not fcntl:
            return descriptor, beside
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if beside.exists():  # not taken for a leftover before it was locked
            return descriptor, beside
        os.close(descriptor)


def temporary_name(path: Path) -> Path:
    """Return a random name in the folder of `path` that begins with a dot and the path's name."""
    return path.with_name(f".{path.name[:SHOWN]}.{secrets.token_hex(RANDOM)}{SUFFIX}")


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Make a locked folder beside a file or folder; remove it afterwards with what is left in it. Raises InputError."""
    with naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, path.name)
        folder = temporary_name(path)
        folder.mkdir()
        lock = lock_of(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what killed processes left beside the file `name` of a folder, by default beside any of its files."""
    start = escape(name[:SHOWN]) if name else "*"
    with suppress(OSError):
        for leftover in list(folder.glob(f".{start}.{'?' * 2 * RANDOM}{SUFFIX}")):
            remove_if_free(leftover)


def remove_if_free(leftover: Path) -> None:
    """Remove a temporary file or folder unless its writer lives."""
    lock = lock_of(leftover)
    if lock is None:
        return
    try:
        if stat.S_ISDIR(os.fstat(lock).st_mode):
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()
    finally:
        os.close(lock)


def lock_of(path: Path) -> int | None:
    """Return a descriptor that holds the lock of a file or folder; None when another has it or there are no locks."""
    if not fcntl:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn an OSError in the body into an InputError: `path` cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of a folder; without effect where a system can't."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def dispensable(what: object) -> Iterator[None]:
    """Let a picture or a log that cannot be written go with one line: the training that it shows is worth more."""
    try:
        yield
    except (OSError, InputError) as error:
        reason = error if isinstance(error, InputError) else f"{what}: cannot be written ({error.strerror or error})"
        print(f"{reason}; the run goes on", file=sys.stderr)
