"""Unpacking zip and tar archives from elsewhere: nothing is written outside the folder, and no bomb goes off."""

import re
import shutil
import stat
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from utils.errors import InputError
from utils.progress import BYTES, Progress

LARGEST_RATIO = 200  # unpacked to packed bytes; label files reach about 20 …
ALWAYS_ALLOWED = 1 << 30  # … and up to so many bytes any ratio is harmless
MOST_MEMBERS = 5_000_000
CHUNK = 1 << 20
LONGEST_NAME = 4096


class Refusal(Exception):
    """A member of an archive is not unpacked; says why in words."""


@dataclass(frozen=True)
class Member:
    """One entry of an archive."""

    name: str
    kind: str  # file, folder, link or other
    size: int  # bytes of a file
    target: str = ""  # of a link, seen from the archive's top
    handle: object = None  # what the archive's library calls it


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .zip or .tar(.gz, .bz2, .xz) file into a folder, which is created.

    Files and folders are made; a link becomes a copy of the file of the archive that it names. Refused are members with
    absolute names or `..`, links to anything else, devices and pipes, and contents far larger than the archive or the
    space on the disk. Times, owners and permissions are those of new files.

    Raises InputError that names the archive and the member; the folder may then hold a part of it.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                write(folder, zip_members(content), content.open, room(archive, folder), archive)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as content:
                write(folder, tar_members(content), content.extractfile, room(archive, folder), archive)
                while content.fileobj.read(CHUNK):  # the checksum of a .gz is at its very end
                    pass
        else:
            raise Refusal("neither a zip nor a tar file")
    except Refusal as problem:
        raise InputError(f"{archive}: not unpacked: {problem}") from None
    except OSError as error:
        raise InputError(f"{archive}: cannot be unpacked into {folder} ({error.strerror or error})") from None
    except Exception as error:  # noqa: BLE001 of the libraries, over a file made to break them
        raise InputError(f"{archive}: damaged or not supported: {' '.join(str(error).split())}") from None


def room(archive: Path, folder: Path) -> int:
    """Return how many bytes an archive may become."""
    allowed = max(ALWAYS_ALLOWED, LARGEST_RATIO * Path(archive).stat().st_size)
    return min(allowed, shutil.disk_usage(folder).free)


def zip_members(content: Any) -> Any:
    """Yield the Members of a ZipFile."""
    for info in content.infolist():
        mode = info.external_attr >> 16  # Unix keeps the file type there
        if stat.S_ISLNK(mode):
            with content.open(info) as stream:
                target = stream.read(LONGEST_NAME).decode(errors="replace")
            yield Member(info.filename, "link", 0, beside(info.filename, target), info)
        elif info.is_dir():
            yield Member(info.filename, "folder", 0, handle=info)
        else:
            plain = stat.S_IFMT(mode) in (0, stat.S_IFREG)
            yield Member(info.filename, "file" if plain else "other", info.file_size, handle=info)


def tar_members(content: Any) -> Any:
    """Yield the Members of a TarFile."""
    for info in content:
        if info.isreg():
            yield Member(info.name, "file", info.size, handle=info)
        elif info.isdir():
            yield Member(info.name, "folder", 0, handle=info)
        elif info.issym():
            yield Member(info.name, "link", 0, beside(info.name, info.linkname), info)
        else:
            yield Member(info.name, "link" if info.islnk() else "other", 0, info.linkname, info)


def beside(name: str, target: str) -> str:
    """Return the target of a symbolic link as a name from the archive's top; a leading / or too many .. stay."""
    if target.startswith("/"):
        return target
    parts: list[str] = []
    for part in (*PurePosixPath(name).parts[:-1], *PurePosixPath(target).parts):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def safe_path(folder: Path, name: str) -> Path:
    """Return the path below a folder of a member's name. Raises Refusal for names that lead elsewhere.

    No link is ever made below the folder, so what a name says is where it leads.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not name or name[0] in "/\\" or ".." in parts or "\0" in name or re.match("[A-Za-z]:", name):
        raise Refusal(f"{name!r} leads out of the folder")
    return folder.joinpath(*parts)


def write(folder: Path, members: Any, opened: Any, room: int, archive: Path) -> None:
    """Write an archive's members below a folder: files through `opened(handle)`, in the end links. Raises Refusal."""
    links, written = [], 0
    with Progress(f"unpacking {Path(archive).name}", unit=BYTES) as progress:
        for count, member in enumerate(members, 1):
            path = safe_path(folder, member.name)
            written += member.size
            if count > MOST_MEMBERS or written > room:
                raise Refusal(f"more than {MOST_MEMBERS} files or {room / 1e9:.1f} GB come out of it")
            if member.kind == "folder":
                path.mkdir(parents=True, exist_ok=True)
            elif member.kind == "file":
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened(member.handle) as source, path.open("wb") as file:
                    copy(source, file, member, progress)
            elif member.kind == "link":
                links.append((path, member))
            else:
                raise Refusal(f"{member.name!r} is no file: a device or a pipe")
    for path, member in links:
        source = safe_path(folder, member.target)
        if not source.is_file():
            raise Refusal(f"{member.name!r} is a link to {member.target!r}, which is no file of the archive")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(source)


def copy(source: Any, file: Any, member: Any, progress: Progress) -> None:
    """Copy one file of an archive, no more than it said it has."""
    left = member.size
    while chunk := source.read(min(CHUNK, left)):
        file.write(chunk)
        progress.update(len(chunk))
        left -= len(chunk)
    if left:
        raise Refusal(f"{member.name!r} is cut off")
