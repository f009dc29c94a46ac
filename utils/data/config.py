"""The data yaml: which images belong to which split, and what the classes are called."""

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from os.path import exists, expanduser, isfile  # these never raise
from pathlib import Path
from typing import Any

from models import limits
from models.errors import shown
from utils.data.download.remote import Archive, by_hand, obtain, read_download
from utils.data.formats.layouts import data_file, read_data, read_names, spellings
from utils.data.formats.lists import read_list
from utils.errors import InputError, readable
from utils.files.paths import ROOT, find_file

TAR = ".tar"
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")  # of numbers in the names of tars, as shells have it
IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".dng", ".gif", ".heic", ".heif"),
    *(".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"),
)
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class LabelRules:
    """Which faulty label rows are accepted, and how closely photos are looked at."""

    skip_bad: bool = False  # rows that cannot be read are left out and counted
    accept_conf: bool = False  # a sixth number in a row is a confidence, and not used
    check_photos: bool = False  # every photo is decoded in the scan; otherwise its head and end are looked at


def label_rules(options: Any) -> LabelRules:
    """Return the LabelRules that a script's options ask for: --skip-bad-labels, --accept-conf, --check-photos."""
    return LabelRules(options.skip_bad_labels, options.accept_conf, options.check_photos)


@dataclass(frozen=True)
class DataConfig:
    """A data yaml that passed every check.

    train, val, test are lists of folders, text files of image paths, COCO instances files or tars, relative to `path`
    unless absolute; None when the yaml has no such split.
    """

    file: Path
    path: Path  # the folder that relative splits start at; where none is yet, the one that a download makes
    looked: tuple[Path, ...]  # every folder that was tried as `path`
    train: tuple[str, ...] | None
    val: tuple[str, ...] | None
    test: tuple[str, ...] | None
    names: dict[int, str]
    download: tuple[Archive, ...] | str | None  # what is fetched when images are missing; a text is only shown
    rules: LabelRules = LabelRules()
    named: bool = True  # False: the yaml gives the number of classes only, and `names` are made up
    difficult: bool = False  # of Pascal VOC xml: keep the objects that are marked so

    @property
    def nc(self) -> int:
        """Number of classes."""
        return len(self.names)

    def place(self, entry: str) -> Path:
        """Return the path of an entry of a split; where nothing is, the one that it says."""
        named = self.path / expanduser(entry)
        meant = (root / text for root in dict.fromkeys([self.path, *self.looked]) for text in spellings(entry))
        return named if exists(named) else next((path for path in meant if exists(path)), named)

    def present(self) -> bool:
        """Tell whether any entry of any split is there."""
        entries = [entry for split in SPLITS for entry in getattr(self, split) or ()]
        return any(exists(self.place(entry)) for entry in entries)


def load_data(name: str | Path, rules: LabelRules | None = None) -> DataConfig:
    """Read a data yaml, given by path or by its name in the project's data folder; rules: None for the strict ones.

    It may also be the folder of an export, its obj.data or its classes.txt (utils.data.formats.layouts).

    Images need not exist yet (split_images looks for them, and downloads them). Raises InputError for an unreadable
    file, a missing or wrong key, and an nc that differs from the number of names.
    """
    folder = Path(expanduser(name))
    file = data_file(folder) if str(name) and folder.is_dir() else find_file(name, "data", what="data yaml")
    with readable(file, "data yaml"):
        return _data_config(file, read_data(file), rules or LabelRules())


def _data_config(file, content, rules):
    """Return the DataConfig of the content of a data yaml."""
    names = _names(content, file)
    splits = {split: _split_entries(content.get(split), split, file) for split in SPLITS}
    if not any(splits.values()):
        raise InputError(f"{file}: none of the keys train, val, test is there; at least one must name a folder")
    looked = _candidate_roots(content.get("path"), file)
    path = _root(looked, [entry for split in splits.values() for entry in split or ()])
    path = path or _home(content.get("path"), looked)
    difficult = content.get("difficult", False)
    if not isinstance(difficult, bool):
        raise InputError(f"{file}: difficult {difficult!r}: must be true or false")
    more: dict[str, Any] = {"named": content.get("names") is not None, "difficult": difficult}
    download = read_download(content.get("download"), file)
    return DataConfig(file, path, looked, **splits, names=names, download=download, rules=rules, **more)


def split_images(config: DataConfig, split: str, *, get: Callable[..., Any] = obtain) -> list[Path]:
    """Return the images of one split, sorted within each entry, or the COCO instances files or tars that hold them.

    Where nothing of the data set is there, `get(config)` first fetches the archives that the yaml names.

    Returns a list of Path: all images, all `.json`, or all `.tar`. Raises InputError when the yaml has no such split,
    when an entry does not exist, is empty, or when images, json files and tars are mixed.
    """
    entries = getattr(config, split)
    if entries is None:
        given = ", ".join(s for s in SPLITS if getattr(config, s))
        raise InputError(f"{config.file}: key {split} is missing, but {split} images are asked for; it has {given}")
    if isinstance(config.download, tuple) and not config.present():
        get(config)
    found = [path for entry in entries for path in _entry_images(config, split, entry)]
    kinds = {path.suffix.lower() if path.suffix.lower() in (".json", TAR) else "" for path in found}
    if len(kinds) > 1:
        raise InputError(f"{config.file}: {split}: COCO .json files, tars and folders cannot be mixed in one split")
    return list(dict.fromkeys(found))  # an image named twice is one image


def _names(content, file):
    """Return {0: name, 1: name, …} from a list or a mapping; classes are called class0, … when only nc is given."""
    names, nc = content.get("names"), content.get("nc")
    if nc is not None and (isinstance(nc, bool) or not isinstance(nc, int) or not 1 <= nc <= limits.CLASSES):
        raise InputError(f"{file}: nc {shown(nc)}: must be a whole number from 1 to {limits.CLASSES:,}")
    if names is None:
        if nc is None:
            raise InputError(f"{file}: key names is missing; it lists the classes in the order of their numbers")
        return {index: f"class{index}" for index in range(nc)}
    if isinstance(names, str) and isfile(file.parent / names):
        names = read_names(file.parent / names)
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict):  # numbers may stand in quotes
        names = {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in names.items()}
    if not isinstance(names, dict) or not names:
        raise InputError(f"{file}: names: must be a list of class names or a mapping from number to name")
    if set(names) != set(range(len(names))):
        raise InputError(f"{file}: names: class numbers are {list(names)}; must be 0 to {len(names) - 1} without gaps")
    if len(names) > limits.CLASSES:
        raise InputError(f"{file}: {len(names):,} names; must be at most {limits.CLASSES:,}")
    for index, name in names.items():
        if not isinstance(name, (str, int, float)) or isinstance(name, bool):
            raise InputError(f"{file}: names: class {index} is {name!r}; must be text (put words like yes in quotes)")
    names = {index: str(names[index]) for index in range(len(names))}
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if repeated:
        raise InputError(f"{file}: names: {min(repeated)!r} is there more than once; every class needs its own name")
    if nc is not None and nc != len(names):
        raise InputError(f"{file}: nc {nc} but {len(names)} names; they must agree (nc may be left out)")
    return names


def _split_entries(value, split, file):
    """Return the entries of one split as a tuple of strings, or None when there are none."""
    if value is None or value == "":
        return None
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if not isinstance(entry, str):
            raise InputError(
                f"{file}: {split}: {entry!r} must be a folder, a .txt of image paths, a COCO .json or a .tar"
            )
    return tuple(name for entry in entries for name in _tars(entry, split, file)) or None


def _tars(entry, split, file):
    """Return the entries that one with {0000..0099} stands for; others alone."""
    found = RANGE.search(entry) if entry.lower().endswith(TAR) else None
    if not found:
        return [entry]
    first, last = found.groups()
    if int(first) > int(last):
        raise InputError(f"{file}: {split}: {entry}: the numbers must rise")
    numbers = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return [name for number in numbers for name in _tars(entry.replace(found[0], number, 1), split, file)]


def _candidate_roots(path, file):
    """Return the folders that `path` may mean, first the likeliest; without `path` the yaml's own folder."""
    if path is None:
        return file.parent, Path.cwd()
    if not isinstance(path, str):
        raise InputError(f"{file}: path {path!r}: must be a folder")
    given = Path(expanduser(path))
    if given.is_absolute():
        return (given,) if given.is_dir() else (given, file.resolve().parent, Path.cwd())  # of another machine?
    bases = (Path.cwd(), Path.cwd() / "datasets", file.resolve().parent, ROOT / "datasets")
    return tuple(dict.fromkeys((base / given).resolve() for base in bases))


def _root(looked, entries):
    """Return the first folder of `looked` where any entry is, as it is written or as it may be meant, or None."""
    for spelled in (lambda entry: [entry], spellings):
        for root in looked:
            if any(exists(root / expanduser(text)) for entry in entries for text in spelled(entry)):
                return root
    return None


def _home(path, looked):
    """Return which of the folders that `path` may mean a download makes: for a plain name that in datasets/."""
    plain = (
        path is not None
        and not Path(expanduser(path)).is_absolute()
        and Path(path).parts[:1] not in (("..",), ("datasets",), ("~",))
    )
    return looked[1] if plain else looked[0]


def _entry_images(config, split, entry):
    """Return the images of one entry of a split, or the entry itself when it is a COCO json."""
    place = config.place(entry)
    if not exists(place):
        tried = ", ".join(str(root / entry) for root in config.looked)
        raise InputError(f"{config.file}: {split}: {entry} not found; looked for {tried}{by_hand(config)}")
    if place.suffix.lower() in (".json", TAR):
        return [place]
    if place.is_dir():
        return folder_images(place)
    if place.suffix.lower() != ".txt":
        raise InputError(f"{config.file}: {split}: {entry} is neither a folder nor a .txt nor a .json nor a .tar")
    return _some(place, _listed_images(config, place))


def folder_images(folder: Path) -> list[Path]:
    """Return the image files in a folder and below it, sorted. Raises InputError when there is none."""
    found = [
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(IMAGE_SUFFIXES) and name.rfind(".")
    ]
    return _some(folder, [Path(file) for file in sorted(found, key=lambda file: file.replace(os.sep, "\0"))])


def _some(place, images):
    """Return a list of images or raise InputError when it is empty."""
    if not images:
        raise InputError(f"{place}: no images; known suffixes are {' '.join(IMAGE_SUFFIXES)}")
    return images


def list_bases(config: DataConfig, file: Path) -> tuple[Path, ...]:
    """Return the folders that the lines of a list may start at."""
    return file.parent, config.path, Path.cwd()


def _listed_images(config, file):
    """Return the images that a text file lists, sorted, there or not."""
    images, strange = read_list(file, list_bases(config, file), IMAGE_SUFFIXES)
    for number, line in strange:
        raise InputError(f"{file}:{number}: {line}: not an image; known suffixes are {' '.join(IMAGE_SUFFIXES)}")
    return sorted(images)
