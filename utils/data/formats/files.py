"""Annotations in a file for each image: YOLO text or Pascal VOC xml, wherever they lie."""

import os
from collections.abc import Iterable
from pathlib import Path

from utils.data.config import DataConfig
from utils.data.formats.places import XML, label_files
from utils.data.formats.voc import read_voc_file
from utils.data.formats.yolo import read_label_file
from utils.data.labels import Objects


class LabelFiles:
    """The annotations of images that each have a label file.

    Attributes: images and labels (lists of paths as text, there or not), rules (LabelRules), key (text that changes
    with the way to read).
    """

    def __init__(self, images: Iterable[str | Path], config: DataConfig):
        """config: DataConfig that the images belong to."""
        self.images = [str(image) for image in images]
        self.names, self.rules, self.difficult = config.names, config.rules, config.difficult
        self.labels = label_files(self.images)
        xml = any(file.endswith(XML) for file in self.labels)
        self.key = f"files {self.rules} {f'{self.names} {self.difficult}' if xml else len(self.names)}"

    def read(self, index: int, shape: tuple[int, int]) -> Objects | None:
        """Return the Objects of an image of shape (h, w), None when it has no label file."""
        file = self.labels[index]
        if not os.path.isfile(file):
            return None
        if file.endswith(XML):
            return read_voc_file(Path(file), Path(self.images[index]), shape, self.names, self.difficult)
        return read_label_file(file, len(self.names), self.rules.accept_conf)
