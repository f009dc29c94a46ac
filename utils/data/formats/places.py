"""Where the label file of an image is: in labels/, beside it, or as xml in Annotations/."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

TEXT, XML = ".txt", ".xml"


def label_path(image: str | Path) -> Path:
    """Return the usual label file of an image: the last /images/ folder becomes /labels/, the suffix .txt."""
    image = Path(image)
    return (_mirrored(image.parent, "images", "labels") or image.parent) / f"{image.stem}{TEXT}"


def label_files(images: Iterable[str]) -> list[str]:
    """Return the label file of each image, there or not.

    Each folder of images has its own place of label files, the first in which any image of it has one: text files,
    then xml files. Where there is none at all, it is the usual one.
    """
    split = [os.path.split(image) for image in images]
    stems: dict[str, set[str]] = {}
    for folder, name in split:
        stems.setdefault(folder, set()).add(_stem(name))
    places = {}
    for folder, names in stems.items():
        place, suffix = _place(Path(folder), names)
        places[folder] = f"{os.path.join(place, '')}", suffix
    return ["".join((places[folder][0], _stem(name), places[folder][1])) for folder, name in split]


def _stem(name):
    """Return a file name without its suffix, as pathlib has it, which takes long for a million of them."""
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def _place(folder, stems):
    """Return (folder, suffix) of the label files of the images with these stems in a folder."""
    usual = label_path(folder / "x").parent
    for suffix, places in ((TEXT, _text_places(folder)), (XML, _xml_places(folder))):
        for place in dict.fromkeys(places):
            if any(name.endswith(suffix) and name.removesuffix(suffix) in stems for name in _names(place)):
                return place, suffix
    return usual, TEXT


def _names(folder):
    """Return the names of the files in a folder, none when it is not there."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _text_places(folder: Path) -> Iterator[Path]:
    """Yield the folders where text labels of the images in a folder may be, first the usual one."""
    yield label_path(folder / "x").parent
    yield folder  # as labelImg, Darknet and CVAT have it
    for name in ("images", "JPEGImages"):
        mirrored = _mirrored(folder, name, "labels")
        if mirrored:
            yield mirrored
            yield _above(folder, name) / "labels"
    yield folder.parent / "labels"


def _xml_places(folder: Path) -> Iterator[Path]:
    """Yield the folders where xml labels of the images in a folder may be."""
    for name in ("JPEGImages", "images"):
        for other in ("Annotations", "annotations"):
            mirrored = _mirrored(folder, name, other)
            if mirrored:
                yield mirrored
                yield _above(folder, name) / other
    yield folder
    yield folder.parent / "Annotations"


def _mirrored(folder, name, other):
    """Return a folder with the last part called `name` called `other` instead; None when no part is."""
    parts = list(folder.parts)
    if name not in parts:
        return None
    parts[len(parts) - 1 - parts[::-1].index(name)] = other
    return Path(*parts)


def _above(folder, name):
    """Return the folder that holds the last part called `name` of a folder."""
    parts = folder.parts
    return Path(*parts[: len(parts) - 1 - parts[::-1].index(name)])
