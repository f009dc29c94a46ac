"""Folders as labelling tools and data set sites export them: what stands for a data yaml, and what its entries mean."""

from collections.abc import Iterator
from os.path import isfile
from pathlib import Path

from utils.data.formats.lists import DRIVE, Finder, read_lines
from utils.errors import InputError
from utils.files.yaml import read_mapping

CLASS_LISTS = ("classes.txt", "obj.names")
YAMLS, DARKNET = (".yaml", ".yml"), ".data"
VALIDATION = ("val", "valid", "validation")
IMAGES = "images"
CONTENT = "train, val and names"


def data_file(folder: Path) -> Path:
    """Return the file of a folder that says what is in it: a data yaml, an obj.data or a classes.txt.

    Raises InputError when there is none, or more than one of a kind.
    """
    names = sorted(path for path in folder.iterdir() if path.is_file())
    preferred = [path for path in names if path.name.lower() in ("data.yaml", "data.yml")]
    for found in (
        preferred,
        [path for path in names if path.suffix.lower() in YAMLS],
        [path for path in names if path.suffix.lower() == DARKNET],
        [path for path in names if path.name.lower() in CLASS_LISTS],
    ):
        if len(found) == 1 or found == preferred != []:
            return found[0]
        if found:
            raise InputError(f"{folder}: {', '.join(path.name for path in found)}: more than one; name the file")
    raise InputError(f"{folder}: no data yaml, no obj.data and no classes.txt; one of them must name the classes")


def read_data(file: Path) -> dict:
    """Return the content of a data yaml, or what an obj.data or a classes.txt stands for. Raises InputError."""
    if file.suffix.lower() == DARKNET:
        return _darknet(file)
    if file.name.lower() in CLASS_LISTS:
        return {"names": read_names(file), **_folders(file.parent)}
    return read_mapping(file, CONTENT)


def read_names(file: Path) -> list[str]:
    """Return the class names that a text file lists, one a line. Raises InputError when there is none."""
    names = [line for _, line in read_lines(file)]
    if not names:
        raise InputError(f"{file}: empty; it lists the classes, one a line")
    return names


def _darknet(file):
    """Return what an obj.data of Darknet, which CVAT writes too, says: rows of key = value."""
    rows = (line.partition("=") for _, line in read_lines(file) if not line.startswith("#"))
    content = {key.strip().lower(): value.strip() for key, _, value in rows}
    if not content.get("names"):
        raise InputError(f"{file}: key names is missing; it is the file that lists the classes")
    names = Finder(file.parent, Path.cwd()).find(content["names"])
    if not isfile(names):
        names = file.parent / names.name
    if not isfile(names):
        raise InputError(f"{file}: names {content['names']}: not found beside it, nor from {Path.cwd()}")
    splits = {"train": content.get("train"), "val": content.get("valid"), "test": content.get("test")}
    return {"names": read_names(names), **{split: value for split, value in splits.items() if value}}


def _folders(folder):
    """Return {split: folder} of an export that has no file to say so."""
    for inside in (folder / IMAGES, folder):
        names = {"train": ("train",), "val": VALIDATION, "test": ("test",)}
        found = {split: next((n for n in known if (inside / n).is_dir()), None) for split, known in names.items()}
        splits = {split: str((inside / name).relative_to(folder)) for split, name in found.items() if name}
        if splits:
            return splits
    return {"train": IMAGES if (folder / IMAGES).is_dir() else "."}


def spellings(entry: str) -> Iterator[str]:
    """Yield what an entry of a split may mean below the data set's folder, first what it says.

    What leads out of the folder, or comes from another machine, is left out, the longest tail first. valid may be
    called val, and images may lie in train/images, images/train or train.
    """
    yield entry
    parts = [part for part in DRIVE.sub("", entry.replace("\\", "/")).split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        tail = parts[start:]
        if start and tail == [IMAGES]:  # anything may be in there
            continue
        for renamed in _validation_names(tail):
            yield "/".join(renamed)
            rest = [part for part in renamed if part != IMAGES]
            if rest and not rest[-1].count("."):
                yield from ("/".join([*rest, IMAGES]), "/".join([IMAGES, *rest]), "/".join(rest))


def _validation_names(parts):
    """Yield the parts of a path as they are, and with the other names for val."""
    yield parts
    for name in VALIDATION:
        if any(part in VALIDATION and part != name for part in parts):
            yield [name if part in VALIDATION else part for part in parts]
