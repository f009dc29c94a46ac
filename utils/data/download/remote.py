"""Data sets that are not there yet: what `download:` of a data yaml says, and how it gets to its place."""

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.data.download.archives import unpack
from utils.errors import InputError
from utils.files.downloads import address_name, download, is_address


@dataclass(frozen=True)
class Archive:
    """One archive of a data set."""

    url: str
    folder: str | None = None  # below the data set's folder; None: the archive holds that folder, or what belongs in it


def read_download(value: Any, file: Path) -> Any:
    """Return what the value of `download:` stands for: a tuple of Archive, text (a script or instructions), or None.

    Archives are an address, or a list of addresses and of {address: folder below the data set's}.
    Raises InputError for anything else.
    """
    if not value:
        return None
    if isinstance(value, str):
        lines = value.split()
        return tuple(Archive(line) for line in lines) if all(map(is_address, lines)) else value.strip()
    archives = []
    for entry in value if isinstance(value, list) else [None]:
        url: Any
        url, folder = next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else (entry, None)
        if not is_address(url) or (folder is not None and not is_below(folder)):
            allowed = "an address, a list of them, or in that list address: folder below the data set's"
            raise InputError(f"{file}: download: {entry or value!r}: must be {allowed}")
        archives.append(Archive(url, folder))
    return tuple(archives)


def is_below(folder: object) -> bool:
    """Tell whether a value names a folder that lies below another."""
    return isinstance(folder, str) and not Path(folder).is_absolute() and ".." not in Path(folder).parts


def obtain(config: Any, *, fetch: Callable[..., Any] = download) -> None:
    """Download and unpack the archives of a DataConfig, so that they make up the folder config.path.

    Archives wait beside that folder until all are there, are unpacked beside it too, and only then moved in; files that
    are there already stay as they are. Then the archives are removed. Raises InputError.
    """
    place = config.path.parent
    print(f"{config.file}: its images are not there; they go to {config.path}", file=sys.stderr)
    files = [fetch(archive.url, place / name) for archive, name in zip(config.download, waiting_names(config.download))]
    staging = place / f".{config.path.name}.unpacking"
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of an earlier try that was interrupted
        for number, file in enumerate(files):
            try:
                unpack(file, staging / str(number))
            except InputError as error:
                raise InputError(f"{error}; remove the file to fetch it again") from None
        for number, archive in enumerate(config.download):
            unpacked = staging / str(number)
            if archive.folder is None:
                merge(data_folder(unpacked, config), config.path)
            else:
                merge(unpacked, config.path / archive.folder)
    except OSError as error:
        raise InputError(f"{error.filename or config.path}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for file in files:
        file.unlink()


def waiting_names(archives: Any) -> list[str]:
    """Return a file name for each Archive: that of its address, with a number before it where several have the same."""
    names = [address_name(archive.url) for archive in archives]
    return [name if names.count(name) == 1 else f"{number}-{name}" for number, name in enumerate(names, 1)]


def data_folder(unpacked: Path, config: Any) -> Path:
    """Return the folder in an unpacked archive that is to become config.path.

    That is one of its name, otherwise the only one that there is when it holds a split, otherwise the archive's top.
    """
    named = unpacked / config.path.name
    entries = [Path(entry) for split in (config.train, config.val, config.test) for entry in split or ()]
    sole = [folder for folder in unpacked.iterdir() if folder.is_dir() and folder.name != "__MACOSX"]
    for folder in (named, unpacked, *(sole if len(sole) == 1 else ())):
        if any((folder / entry).exists() for entry in entries if not entry.is_absolute()):
            return folder
    return named if named.is_dir() else unpacked


def merge(source: Path, target: Path) -> None:
    """Move a folder into the place of another; where both have a file, that of the target stays."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return
    if target.is_dir() and source.is_dir():
        for child in source.iterdir():
            merge(child, target / child.name)


def by_hand(config: Any) -> str:
    """Return in words what a user can do about missing images of a DataConfig."""
    if not config.download:
        return ""
    if not isinstance(config.download, str):  # what else it brings is there already
        return f"; the data come from {', '.join(archive.url for archive in config.download)}"
    pattern = re.compile(r"""\s*["']?download["']?\s*:""")
    lines = config.file.read_text(encoding="utf-8", errors="replace").splitlines()
    number = next((n for n, line in enumerate(lines, 1) if pattern.match(line)), 1)
    # What is shown must not steer the terminal.
    shown = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in config.download)
    text = "\n".join(f"    {line}" for line in shown.splitlines())
    place = f"{config.file}:{number}: download is no address"
    return f"; {place}, and scripts are never run. By hand, do what it says:\n{text}"
