"""Text files that name one image a line, written on whatever machine."""

import codecs
import re
from os.path import isfile  # False where pathlib raises: names too long, NUL
from pathlib import Path

LINE_END = re.compile(r"\r\n|\r|\n")
DRIVE = re.compile(r"^[A-Za-z]:")
IMAGE_SETS = "ImageSets"  # the folder of Pascal VOC whose lists name images without suffix


class Finder:
    """Finds files by what a list says, starting at any of some folders.

    Slashes may lean either way. A path from another machine is looked for by its tail: without its first folder, its
    first two, …
    """

    def __init__(self, *bases: Path):
        """bases: the folders, first the likeliest."""
        self.bases = tuple(dict.fromkeys(bases))
        self.folders: dict = {}  # a folder as it is written → where it was found to be

    def find(self, text: str) -> Path:
        """Return the file that is meant, or where it should be first of all when it is nowhere."""
        plain = self.bases[0] / text
        if "\\" in text and not isfile(plain):
            text = text.replace("\\", "/")
        folder, _, name = text.rpartition("/")
        folder = "/" if text.startswith("/") and not folder else folder
        known = self.folders.get(folder)
        if known is not None and isfile(known / name):
            return known / name
        for place in self._places(folder):
            if isfile(place / name):
                self.folders[folder] = place
                return place / name
        return (known or self.bases[0] / folder) / name

    def find_all(self, texts: list[str]) -> list[Path]:
        """Return the file that each text means; one that is nowhere should be where the others are."""
        paths = [self.find(text) for text in texts]
        return [path if isfile(path) else self.find(text) for path, text in zip(paths, texts, strict=True)]

    def _places(self, folder):
        """Yield the folders that a folder as it is written may be."""
        yield from (base / folder for base in self.bases)  # an absolute folder replaces the base
        parts = [part for part in DRIVE.sub("", folder).split("/") if part not in ("", ".", "..")]
        foreign = folder.startswith("/") or DRIVE.match(folder)
        for start in range(len(parts) + bool(foreign)):  # a name alone says too little where there are folders
            yield from (base.joinpath(*parts[start:]) for base in self.bases)


def read_lines(file: Path) -> list[tuple[int, str]]:
    """Return (number, text) of the lines of a text file that hold anything, without quotes around them.

    Bytes that are not UTF-8 stay what they are, so that file names do.
    """
    data = file.read_bytes()
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as some shells of Windows write
    text = data.decode("utf-16", "replace") if utf16 else data.decode("utf-8-sig", "surrogateescape")
    lines = ((number, line.strip().strip("\"'")) for number, line in enumerate(LINE_END.split(text), 1))
    return [(number, line) for number, line in lines if line]


def read_list(file: Path, bases: tuple[Path, ...], suffixes: tuple[str, ...]) -> tuple[list[Path], list[tuple]]:
    """Return (the images that a list names, whether there or not, and (number, text) of lines that name no image).

    bases: folders that its lines may start at; lines that start with # are comments unless such a file is there.
    """
    if IMAGE_SETS in file.parts:
        return _image_set(file, suffixes), []
    images, strange, lines = [], [], read_lines(file)
    for (number, line), image in zip(lines, Finder(*bases).find_all([line for _, line in lines]), strict=True):
        if line.startswith("#") and not isfile(image):
            continue
        if Path(line.replace("\\", "/")).suffix.lower() in suffixes:
            images.append(image)
        else:
            strange.append((number, line))
    return images, strange


def _image_set(file, suffixes):
    """Return the images that a list of Pascal VOC names by their stems; what stands behind a stem is not looked at."""
    above = Path(*file.parts[: len(file.parts) - 1 - file.parts[::-1].index(IMAGE_SETS)])
    folder = next((above / name for name in ("JPEGImages", "images") if (above / name).is_dir()), above / "JPEGImages")
    there = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in suffixes}
    stems = [line.split()[0] for _, line in read_lines(file) if not line.startswith("#")]
    return [
        there.get(Path(stem).stem if Path(stem).suffix in suffixes else stem, folder / f"{stem}.jpg") for stem in stems
    ]
