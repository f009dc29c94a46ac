"""From a data yaml to the samples of one split, whichever way the split is described."""

from pathlib import Path

from utils.data.choice import ChosenClasses, choose_labels
from utils.data.coco import read_coco
from utils.data.config import split_images
from utils.data.labels import label_path, scan


def load_split(config, split, workers=1, progress=True):
    """Return (list of Sample, Counts) of the split 'train', 'val' or 'test' of a DataConfig.

    Labels are YOLO text files beside the images, or come from COCO instances files. Raises InputError.
    """
    if isinstance(config, ChosenClasses):
        samples, counts = load_split(config.whole, split, workers, progress)
        return choose_labels(samples, config), counts
    sources = split_images(config, split)
    if sources[0].suffix.lower() == ".json":
        return read_coco(sources, config, split)
    return scan(sources, config.nc, cache_file(config, split, sources), workers, progress)


def cache_file(config, split, images):
    """Return where the labels of a split are cached: beside the folder of the first ones, as that is named.

    Several splits may share a folder when they are lists or several folders: then the split is in the name too.
    """
    folder, entries = label_path(images[0]).parent, getattr(config, split)
    alone = len(entries) == 1 and Path(entries[0]).suffix.lower() != ".txt"
    return folder.with_name(f"{folder.name}.cache.npz" if alone else f"{folder.name}.{split}.cache.npz")
