"""Files from the internet: a download is resumed after a break, checked, and appears under its name only when whole.

While it runs the file is called NAME.part. Only http and https are followed. Nothing that comes is run.
"""

import http.client
import os
import re
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from utils.errors import InputError
from utils.files.paths import find_file
from utils.progress import BYTES, Progress

try:
    import fcntl
except ImportError:  # Windows: two processes must not download one file at a time
    fcntl = None  # type: ignore[assignment]

RELEASE = "https://github.com/ultralytics/yolov5/releases/download/v7.0"
PUBLIC_WEIGHTS = frozenset(f"yolov5{size}{kind}.pt" for size in "nsmlx" for kind in ("", "6"))
ZIP_SUFFIXES = (".pt", ".zip")  # the public weights are zip files too
CHUNK = 1 << 18  # bytes read at a time
TIMEOUT = 20  # seconds without a byte
MOST_TRIES = 10  # as long as each brings something
PAUSE = 1  # second before the next


class Interruption(Exception):
    """The connection failed or ended early; says how in words."""


def is_address(text: object) -> bool:
    """Tell whether a text is an http or https address."""
    return re.fullmatch(r"https?://[^\s/]+\S*", str(text), re.IGNORECASE) is not None


def address_name(url: object) -> str:
    """Return the file name at the end of an address, safe to write to; "download" when there is none."""
    return re.sub(r"[^\w.+-]", "_", PurePosixPath(unquote(urlsplit(str(url)).path)).name).lstrip(".") or "download"


def find_weights(name: str | Path, *, fetch: Callable[..., Path] | None = None) -> Path:
    """Return the path of a checkpoint; a public one (yolov5n.pt … yolov5x6.pt) that is missing is downloaded.

    `name` is a path, the name of a file in weights/, or an address. What is downloaded goes to the path that was given,
    for a bare name the working folder, as users of the public YOLOv5 know it. `fetch` takes the place of `download`.
    Raises InputError when there is no such file, or it can't be downloaded.
    """
    fetch = fetch or download
    if is_address(name):
        return fetch(str(name), Path(address_name(name)))
    try:
        return find_file(name, "weights", what="weight file")
    except InputError:
        target = Path(name).expanduser()
        if target.name not in PUBLIC_WEIGHTS:
            raise
    return fetch(f"{RELEASE}/{target.name}", target)


def download(
    url: str, target: str | Path, *, opener: Callable[..., Any] = urlopen, pause: Callable[[float], object] = time.sleep
) -> Path:
    """Download an address to the path `target`, unless it is there already; return the path.

    Args:
        opener: called as urllib.request.urlopen(request, timeout=seconds).
        pause: called with seconds between two tries.

    Raises InputError with the address and the place for the file when it can't be had, or is not what its name says.
    """
    target = Path(target)
    if target.is_file():
        print(f"{target} is there already: {url} is not downloaded", file=sys.stderr)
        return target
    part, made = target.with_name(f"{target.name}.part"), not target.parent.exists()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(part) as stream:
            if not target.is_file():  # another process may have been faster
                print(f"downloading {url} to {target}", file=sys.stderr)
                fill(stream, url, opener, pause)
                check_zip(part, target)
                if not fcntl:  # Windows does not rename open files
                    stream.close()
                part.replace(target)
    except Interruption as problem:
        if made:
            with suppress(OSError):  # it stays unless it is empty
                target.parent.rmdir()
        place = f"get it by hand and put it at {target.resolve()}"
        raise InputError(f"{target.name}: cannot be downloaded from {url} ({problem}); {place}") from None
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error}), while downloading {url}") from None
    return target


@contextmanager
def locked(part: Path) -> Iterator[BinaryIO]:
    """Open a file to append to, created if missing, for this process alone; an empty one is removed afterwards."""
    while True:
        with part.open("ab") as stream:
            if fcntl:
                fcntl.flock(stream, fcntl.LOCK_EX)  # until closed, also by a crash
            if not part.is_file() or not os.path.samestat(part.stat(), os.fstat(stream.fileno())):
                continue  # whoever held it has renamed or removed it
            try:
                yield stream
            finally:
                if part.is_file() and not part.stat().st_size:
                    part.unlink()
            return


def fill(stream: BinaryIO, url: str, opener: Callable[..., Any], pause: Callable[[float], object]) -> None:
    """Append to a stream what is missing of the address's content; tries again while each try brings something.

    Raises Interruption.
    """
    for number in range(1, MOST_TRIES + 1):
        before = stream.seek(0, 2)
        try:
            receive(stream, url, opener)
            return
        except HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
        except (OSError, http.client.HTTPException, Interruption) as error:  # URLError is an OSError
            problem = " ".join(str(getattr(error, "reason", error) or type(error).__name__).split())
        if stream.seek(0, 2) <= before or number == MOST_TRIES:
            raise Interruption(problem)
        pause(PAUSE)


def receive(stream: BinaryIO, url: str, opener: Callable[..., Any]) -> None:
    """Append one answer of the server to a stream.

    Raises Interruption when it ends early, and what the opener raises.
    """
    have = stream.seek(0, 2)
    # identity: a compressed answer could not be continued in the middle
    headers = {"User-Agent": "Python-urllib", "Accept-Encoding": "identity"}
    try:
        answer = opener(Request(url, headers=headers | ({"Range": f"bytes={have}-"} if have else {})), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        if content_range(error.headers)[1] == have:  # everything was there already
            return
        stream.truncate(0)
        return receive(stream, url, opener)
    with answer:
        start: int | None = 0
        total = answer.headers.get("Content-Length")
        total = int(total) if total and total.isdigit() else None
        if answer.status == http.client.PARTIAL_CONTENT:
            start, total = content_range(answer.headers)
        if start != have:  # the server sends the whole file, or something else than was asked for
            stream.truncate(0)
            if start:
                raise Interruption(f"the server sends bytes from {start} instead of {have}")
        copy(answer, stream, have if start else 0, total)


def content_range(headers: Message) -> tuple[int | None, int | None]:
    """Return (first byte, total bytes) of a Content-Range header, None for what it does not say (RFC 9110, 14.4)."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range") or "")
    first, total = match.groups() if match else (None, None)
    return (int(first) if first else None), (int(total) if total and total != "*" else None)


def copy(answer: Any, stream: BinaryIO, have: int, total: int | None) -> None:
    """Copy an answer to a stream that has `have` bytes already, with its progress.

    Raises Interruption unless there are `total` bytes in the end (None: unknown).
    """
    free = shutil.disk_usage(Path(stream.name).parent).free
    if total is not None and total - have > free:
        raise Interruption(f"{(total - have) / 1e9:.1f} GB to come, {free / 1e9:.1f} GB free on the disk")
    name = Path(stream.name).stem
    with Progress(name, total, BYTES, done=have, leave=True) as progress:
        while chunk := answer.read(CHUNK):
            stream.write(chunk)
            progress.update(len(chunk))
    stream.flush()
    size = stream.seek(0, 2)
    if total is not None and size > total:
        stream.truncate(0)
    if total is not None and size != total:
        raise Interruption(f"{size} of {total} bytes came")


def check_zip(part: Path, target: Path) -> None:
    """Remove a finished download that should be a zip file and is none, such as the login page of a network.

    Raises Interruption.
    """
    if target.suffix.lower() not in ZIP_SUFFIXES:
        return
    try:
        with zipfile.ZipFile(part) as content:
            damaged = content.testzip()
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError):
        damaged = "no zip file"
    if damaged:
        part.unlink()
        raise Interruption(f"what came is damaged: {damaged}")
