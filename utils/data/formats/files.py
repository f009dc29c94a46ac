"""Annotations in a file for each image: YOLO text or Pascal VOC xml, wherever they lie."""

from pathlib import Path

from utils.data.config import DataConfig
from utils.data.formats.places import XML, label_files
from utils.data.formats.voc import read_voc_file
from utils.data.formats.yolo import read_label_file
from utils.data.labels import Objects


class LabelFiles:
    """The annotations of images that each have a label file.

    Attributes: images (list of Path, there or not), rules (LabelRules), key (text that changes with the way to read).
    """

    def __init__(self, images: list[Path], config: DataConfig):
        """config: DataConfig that the images belong to."""
        self.images, self.names, self.rules, self.difficult = images, config.names, config.rules, config.difficult
        self.labels = dict(zip(images, label_files(images), strict=True))
        xml = any(file.suffix == XML for file in self.labels.values())
        self.key = f"files {self.rules} {f'{self.names} {self.difficult}' if xml else len(self.names)}"

    def files(self, image: Path) -> tuple[Path, ...]:
        """Return the files whose change makes what is known of an image out of date."""
        return image, self.labels[image]

    def read(self, image: Path, shape: tuple[int, int]) -> Objects | None:
        """Return the Objects of an image of shape (h, w), None when it has no label file."""
        file = self.labels[image]
        if not file.is_file():
            return None
        if file.suffix == XML:
            return read_voc_file(file, image, shape, self.names, self.difficult)
        return read_label_file(file, len(self.names), self.rules.accept_conf)
