"""Annotations of photos in tars."""

from pathlib import Path

from utils.data.config import IMAGE_SUFFIXES, DataConfig
from utils.data.formats.yolo import read_labels
from utils.data.labels import Objects
from utils.data.scanning.reports import say
from utils.data.shards.index import LABEL, read_index
from utils.data.shards.places import Place, located


class ShardFiles:
    """The annotations of the tars of a split: YOLO text beside each photo.

    Attributes: images (list of paths as utils.data.shards.places has them), labels (empty: their places are in the
    index), rules (LabelRules), key (text that changes with the way to read).
    """

    def __init__(self, files: list[Path], config: DataConfig, split: str) -> None:
        """Find the photos, from the index beside the first tar where it is there. Raises InputError."""
        index = read_index(files, files[0].with_name(f"{files[0].stem}.{split}.index.npz"), IMAGE_SUFFIXES)
        if index.others:
            say(f"{split}: {index.others} files in the tars are neither a photo nor its {LABEL} and are left out")
        self.images, self.places = list(index.images), index.labels
        self.labels: list[str] = []
        self.rules, self.nc = config.rules, len(config.names)
        self.key = f"shards {self.rules} {self.nc}"

    def read(self, index: int, shape: tuple[int, int]) -> Objects | None:
        """Return the Objects of an image of shape (h, w), None when it has no label file."""
        start, size = map(int, self.places[index])
        if start < 0:
            return None
        photo = located(self.images[index])
        name = f"{photo.file}/{Path(self.images[index]).stem}{LABEL}"
        return read_labels(Place(photo.file, start, size).read(), name, self.nc, self.rules.accept_conf)
