"""What detect.py leaves behind for each item of a source: pictures, videos, label files and crops."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import torch

from utils.data.images import write_image
from utils.data.sources import USUAL_RATE, Item
from utils.errors import InputError
from utils.files.paths import RunFolder, valid_text
from utils.pictures.drawing import draw_detections
from utils.validation.predictions import ResultNames, write_labels

CROP_MARGIN = 0.01, 10  # around a crop on each side: share of its size, and pixels
WRITABLE = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # other images are written as .jpg


class ItemNames(ResultNames):
    """Names of the items of a source."""

    def of_source(self, item: Item) -> str:
        """Return the name of an item's file or stream, without suffix."""
        return self.of(item.path, source_name(item))

    def of_item(self, item: Item) -> str:
        """Return the name of an item; frames are numbered."""
        return self.of_source(item) + ("" if item.frame is None else f"_{item.frame}")


def source_name(item: Item) -> str:
    """Return what an item's file or stream is called: a file's stem, an address's host and path without password."""
    if item.live and "://" in item.path:
        address = urlsplit(item.path)
        return re.sub(r"[^\w.-]+", "_", f"{address.hostname}{address.path}").strip("_.") or "stream"
    return Path(item.path).stem


class Recorder:
    """Writes what was found on the items of a source into the folder of a run, as DetectOptions say."""

    def __init__(self, folder: RunFolder | None, names: Mapping[int, str], options: Any) -> None:
        """folder: RunFolder, None when nothing is to be written; names: class index → name; options: DetectOptions."""
        self.folder, self.classes, self.options = folder, names, options
        self.names = ItemNames()
        self.videos: dict[str, Any] = {}
        if options.save_txt:
            self.run.text_labels.mkdir(exist_ok=True)

    @property
    def run(self) -> RunFolder:
        """The run's folder, where there is something to write."""
        assert self.folder is not None
        return self.folder

    def add(self, item: Item, detections: torch.Tensor, drawn: np.ndarray | None) -> None:
        """Write one Item with its detections [n, 6]; drawn: its picture with boxes. Raises InputError if that fails."""
        options = self.options
        if drawn is not None and not options.nosave:
            (self.add_picture if item.frame is None else self.add_frame)(item, drawn)
        if options.save_txt:
            file = self.run.text_labels / f"{self.names.of_item(item)}.txt"
            write_labels(file, detections, item.image.shape[:2], options.save_conf)
        if options.save_crop:
            write_crops(self.run.crops, self.names.of_item(item), item.image, detections, self.classes)

    def add_picture(self, item: Item, drawn: np.ndarray) -> None:
        """Write an image with boxes."""
        suffix = Path(item.path).suffix
        file = self.run.path / (self.names.of_source(item) + (suffix if suffix.lower() in WRITABLE else ".jpg"))
        write_image(file, drawn)

    def add_frame(self, item: Item, drawn: np.ndarray) -> None:
        """Add a frame to the .mp4 of its video or stream; of files, only one is open at a time."""
        name = self.names.of_source(item)
        if name not in self.videos:
            if not item.live:
                self.close()
            file, size = self.run.path / valid_text(f"{name}.mp4"), drawn.shape[1::-1]
            video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), item.fps or USUAL_RATE, size)
            if not video.isOpened():
                raise InputError(f"{file}: cannot be written")
            self.videos[name] = video
        self.videos[name].write(drawn)

    def close(self) -> None:
        """Finish the videos."""
        for video in self.videos.values():
            video.release()
        self.videos = {}


def draw(item: Item, detections: torch.Tensor, names: Mapping[int, str], options: Any) -> np.ndarray:
    """Return a copy of an Item's picture with boxes, as DetectOptions say."""
    return draw_detections(
        item.image.copy(),
        detections,
        names,
        options.line_thickness,
        labels=not options.hide_labels,
        scores=not options.hide_conf,
    )


def crop_box(box: torch.Tensor, shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) in whole pixels of an xyxy box with a little margin, cut to (height, width)."""
    share, pixels = CROP_MARGIN
    margin = (box[2:] - box[:2]) * share + pixels
    left, top = (box[:2] - margin).clamp(min=0).int().tolist()
    right, bottom = (box[2:] + margin).ceil().int().tolist()
    return left, top, min(right, shape[1]), min(bottom, shape[0])


def write_crops(
    folder: Path, name: str, image: np.ndarray, detections: torch.Tensor, names: Mapping[int, str]
) -> list[Path]:
    """Write every detection [n, 6] on an image as folder/<class>/<name>.jpg, <name>_2.jpg, …; return the files."""
    numbers: Counter[int] = Counter()
    files: list[Path] = []
    for box, index in zip(detections[:, :4].cpu(), detections[:, 5].int().tolist()):
        left, top, right, bottom = crop_box(box, image.shape)
        place = folder / file_name(names[index])
        place.mkdir(parents=True, exist_ok=True)
        numbers[index] += 1
        number = f"_{numbers[index]}" if numbers[index] > 1 else ""
        files.append(place / f"{name}{number}.jpg")
        write_image(files[-1], image[top:bottom, left:right])
    return files


def file_name(name: str) -> str:
    """Return a class name as the name of a folder: a checkpoint may call a class anything, ../.. included."""
    return re.sub(r"[^\w .+-]", "_", name).strip(" .") or "_"


def objects_line(detections: torch.Tensor, names: Mapping[int, str]) -> str:
    """Return in words what was found: 2 persons, 1 dog."""
    counts = sorted(Counter(detections[:, 5].int().tolist()).items())
    words = [f"{count} {names[index] if count == 1 else plural(names[index])}" for index, count in counts]
    return ", ".join(words) or "nothing"


def plural(name: str) -> str:
    """Return a class name for more than one: dogs, buses, benches; names that look like plurals stay."""
    lower = name.lower()
    if lower.endswith(("ss", "us", "x", "z", "ch", "sh")):
        return f"{name}es"
    return name if lower.endswith("s") else f"{name}s"
