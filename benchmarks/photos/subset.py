"""The photos of benchmarks/few_photos.py: so many training photos of a data set, and some of its classes."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from utils.data.choice import match_classes
from utils.data.config import DataConfig, load_data
from utils.data.formats.places import label_path
from utils.data.samples import Samples
from utils.data.shapes import label_text
from utils.data.splits import load_split
from utils.errors import InputError


def subset(data: str, photos: int, classes: Sequence[int], out: Path) -> Path:
    """Write a data yaml of so many training photos, 0 for all, drawn by seed 0; return it.

    classes: numbers of those to take, empty for all. Labels of the others are dropped. Training photos without any of
    them are left out; validation photos stay, as background. Photos are linked to in the folder `out`, their labels
    written there as boxes. Raises InputError.
    """
    config = some_classes(load_data(data), classes)
    train, _ = load_split(config, "train", 1, progress=False)
    places = {str(Path(path).absolute()): index for index, path in enumerate(train.paths)}
    if classes:
        places = {path: index for path, index in places.items() if len(train.labels[index])}
    drawn = sorted(places)
    random.Random(0).shuffle(drawn)
    drawn = drawn[: photos or None]
    if not drawn:
        raise InputError(f"--classes {' '.join(map(str, classes))}: no training photo of {data} shows any of them")
    if classes:
        val, _ = load_split(config, "val", 1, progress=False)
        content = linked({"train": train.take(np.array([places[path] for path in drawn])), "val": val}, out / "classes")
    else:
        content = listed(config, drawn, out / "train.txt")
    file = out / "data.yaml"
    file.write_text(yaml.safe_dump({**content, "names": dict(config.names)}), encoding="utf-8")
    return file


def some_classes(config: DataConfig, classes: Sequence[int]) -> DataConfig:
    """Return a DataConfig with some of its classes only, all if none are given. Raises InputError."""
    wrong = [number for number in classes if number not in config.names]
    if wrong:
        raise InputError(f"--classes {wrong[0]}: {config.file} has the classes 0 to {config.nc - 1}")
    names = dict(enumerate(config.names[number] for number in classes)) or config.names
    return match_classes(config, names, say=lambda line: None)


def listed(config: DataConfig, photos: Sequence[str], file: Path) -> dict[str, Any]:
    """Write a list of training photos; return the splits of a data yaml with it."""
    file.write_text("\n".join(photos) + "\n", encoding="utf-8")
    return {"train": str(file.absolute()), "val": [str(config.place(entry).absolute()) for entry in config.val or ()]}


def linked(splits: dict[str, Samples], folder: Path) -> dict[str, Any]:
    """Write links to the photos of each split and their labels into a folder; return the splits of a data yaml."""
    return {split: str(link(samples, folder.absolute() / "images" / split)) for split, samples in splits.items()}


def link(samples: Samples, folder: Path) -> Path:
    """Write links to photos into a folder, numbered, and their label files into the one beside it; return the first."""
    for number, sample in enumerate(samples):
        photo = folder / f"{number:06d}{Path(sample.path).suffix}"
        for place in photo, label_path(photo):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)  # of an earlier start
        photo.symlink_to(Path(sample.path).absolute())
        label_path(photo).write_text(label_text(sample.labels), encoding="utf-8")
    return folder
