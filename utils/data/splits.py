"""From a data yaml to the samples of one split, whichever way the split is described."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.choice import ChosenClasses, choose_labels
from utils.data.config import TAR, DataConfig, list_bases, split_images
from utils.data.formats.coco import CocoFiles
from utils.data.formats.files import LabelFiles
from utils.data.formats.places import label_path
from utils.data.labels import Counts
from utils.data.samples import Samples
from utils.data.scanning.reports import SHOWN, say, some
from utils.data.scanning.scan import scan
from utils.data.shards.files import ShardFiles
from utils.errors import InputError, readable
from utils.files.paths import cache_folder

FOLDERS = 3  # that a message names in full


def load_split(config: DataConfig, split: str, workers: int = 1, progress: bool = True) -> tuple[Samples, Counts]:
    """Return (Samples, Counts) of the split 'train', 'val' or 'test' of a DataConfig.

    Labels are YOLO text files or Pascal VOC xml files, one an image, text files beside the photos in tars, or come
    from COCO instances files. Raises InputError.
    """
    with readable(config.file, "data set"):
        return _load_split(config, split, workers, progress)


def _load_split(config, split, workers, progress):
    """Do what load_split says, whatever errors a file may raise."""
    if isinstance(config, ChosenClasses):
        samples, counts = load_split(config.whole, split, workers, progress)
        return choose_labels(samples, config), counts
    sources = split_images(config, split)
    kind, cache = sources[0].suffix.lower(), sources[0].with_name(f"{sources[0].stem}.{split}.cache.npz")
    annotations: Any
    folders: Any = []
    if kind == ".json":
        annotations = CocoFiles(sources, config, split)
        folders = annotations.folders
    elif kind == TAR:
        annotations = ShardFiles(sources, config, split)
    else:
        annotations, cache = LabelFiles(sources, config), cache_file(config, split, sources)
        folders = [base for list_ in _lists(config, split) for base in list_bases(config, list_)]
    sought = list(dict.fromkeys(folders))
    words = ", ".join(map(str, sought)) if len(sought) <= FOLDERS else some(sought)
    hint = f"; looked for from {words}" if sought else ""
    return scan(annotations, cache, workers, progress, split, hint)


def require_objects(config: DataConfig, split: str, rule: str, workers: int = 1) -> None:
    """Refuse a rule that rests on the mAP of a split, such as a flag, where the split holds no object.

    Classes that the split never shows are said: the rule knows nothing about them. Raises InputError.
    """
    samples, _ = load_split(config, split, workers)
    shown = set(np.unique(samples.labels.values[:, 0]).astype(int).tolist())
    if not shown:
        raise InputError(f"{rule}: {config.file}: {split} holds not one object; mAP is 0 whatever is done")
    unseen = [name for number, name in config.names.items() if number not in shown]
    if unseen:
        more = f" and {len(unseen) - SHOWN} more" if len(unseen) > SHOWN else ""
        say(f"{rule}: {split} never shows {', '.join(unseen[:SHOWN])}{more}; what becomes of them is not measured")


def cache_file(config: DataConfig, split: str, images: list[Path]) -> Path:
    """Return where the labels of a split are cached: beside the folder of the first ones, as that is named.

    Several splits may share a folder when they are lists or several folders: then the split is in the name too.
    What a list names outside the data set is left alone: then it is in the user's folder for caches.
    """
    folder, entries, lists = label_path(images[0]).parent, getattr(config, split), _lists(config, split)
    alone = len(entries) == 1 and not lists
    place = folder.with_name(f"{folder.name}.cache.npz" if alone else f"{folder.name}.{split}.cache.npz")
    inside = (config.path, config.file.parent, *(file.parent for file in lists))
    resolved = place.parent.resolve()
    if not lists or any(resolved.is_relative_to(own.resolve()) for own in inside):
        return place
    user = cache_folder()
    with suppress(OSError):  # where nothing can be written, there is no cache
        user.mkdir(parents=True, exist_ok=True)
    return user / f"{hashlib.sha256(os.fsencode(place.resolve())).hexdigest()[:32]}.cache.npz"


def _lists(config, split):
    """Return the text files that a split is listed in."""
    return [config.place(entry) for entry in getattr(config, split) if Path(entry).suffix.lower() == ".txt"]
