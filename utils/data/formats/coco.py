"""COCO instances json: reading one as samples, writing samples as one. Format: cocodataset.org/#format-data."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from utils.data.config import DataConfig
from utils.data.formats.frames import Frame
from utils.data.formats.lists import Finder
from utils.data.labels import Objects, Problem, gather
from utils.errors import InputError
from utils.files.atomic import write_atomically

LARGEST_SIDE = 1_000_000  # px
FARTHEST = 1e9  # px; coordinates beyond mean nothing
_UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # numbers up to 90 that the 80 classes of COCO skip
COCO80_TO_91 = tuple(number for number in range(1, 91) if number not in _UNUSED_IDS)  # class index → category id


class CocoFiles:
    """The annotations of COCO instances files for a split of a DataConfig.

    Boxes (x, y, w, h px) are cut at the image; crowd boxes are left out and counted. Categories belong to the classes
    of the yaml by name, and by the order of their ids where the names differ. Images are looked for by file_name beside
    the json, in ../images/NAME, ../NAME (for instances_NAME.json and for the split) and `path`.

    Attributes: images (list of paths as text in the order of the files, there or not), labels (empty: no image has a
    file of its own), rules (LabelRules), key (text that changes with the annotations).
    """

    def __init__(self, files: list[Path], config: DataConfig, split: str) -> None:
        """Read the files. Raises InputError."""
        self.rules = config.rules
        rows_of: dict = {}
        for file in files:
            content = _read_json(file)
            classes = _class_of_category(content["categories"], config, file)
            finder = Finder(*_image_folders(config, split, file))
            rows = _rows_by_image(content, classes, file)
            paths = finder.find_all([image["file_name"] for image in content["images"]])
            for image, path in zip(content["images"], paths, strict=True):
                size = image["height"], image["width"]
                rows_of.setdefault(str(path), (size, [], file))[1].extend(rows[image["id"]])
        self.folders = finder.bases  # where the images of the last file were looked for
        self.images, self.rows = list(rows_of), list(rows_of.values())
        self.labels: list[str] = []
        states = [(str(file), os.stat(file).st_size, os.stat(file).st_mtime_ns) for file in files]
        self.key = f"coco {states} {config.names} {config.rules}"

    def read(self, index: int, shape: tuple[int, int]) -> Objects:
        """Return the Objects of an image of shape (h, w)."""
        image, (size, rows, file) = Path(self.images[index]), self.rows[index]
        try:
            frame = Frame.of(size, image, shape)
        except ValueError as error:
            problem = Problem(f"{file}: {image.name}", "of images of another size", str(error))
            return gather([], Counter(), [problem])
        counts, problems, boxes = Counter(turned=frame.turned), [], []
        for number, category, box, crowd in rows:
            if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
                text = f"bbox {box}; must be four numbers x, y, width, height"
                problems.append(Problem(f"{file}: annotations[{number}]", "with other values", text))
            elif crowd:
                counts["crowd"] += 1
            else:
                x, y, width, height = box
                boxes.append((float(category), *frame.row([x, y, x + width, y + height], counts)))
        return gather(boxes, counts, problems)


def write_coco(path: Path, samples: Any, names: dict[int, str]) -> None:
    """Write samples as COCO instances; the category id is the class index, image ids are those of image_id."""
    images: list[dict] = []
    annotations: list[dict] = []
    for sample in samples:
        height, width = sample.shape
        number = image_id(sample.path)
        images.append({"id": number, "file_name": Path(sample.path).name, "height": height, "width": width})
        for category, cx, cy, w, h in sample.labels.tolist():
            box = [(cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height]
            box = [round(value, 3) for value in box]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(category),
                    "bbox": box,
                    "area": round(box[2] * box[3], 3),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index, "name": name} for index, name in names.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_atomically(path, json.dumps(content).encode())


def image_id(path: str | Path) -> int | str:
    """Return the id of an image in COCO json files: its stem, as a number where it is one (000000000139.jpg → 139)."""
    stem = Path(path).stem
    return int(stem) if stem.isdecimal() else stem


def _read_json(file):
    """Return the content of an instances file after checking that the parts in use are there."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits and deep nesting among them
        raise InputError(f"{file}: not valid JSON: {error}") from None
    wanted = {
        "images": ("id", "file_name", "height", "width"),
        "annotations": ("image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    }
    for part, keys in wanted.items():
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise InputError(f"{file}: list {part} is missing; a COCO instances file has {', '.join(wanted)}")
        for index, row in enumerate(rows):
            for key in keys:
                if not isinstance(row, dict) or key not in row:
                    raise InputError(f"{file}: {part}[{index}]: key {key} is missing")
                if key in ("id", "image_id", "category_id") and not isinstance(row[key], (int, str)):
                    raise InputError(f"{file}: {part}[{index}]: {key} {row[key]!r}; must be a number")
                if key in ("name", "file_name") and not isinstance(row[key], str):
                    raise InputError(f"{file}: {part}[{index}]: {key} {row[key]!r}; must be text")
    if not content["images"]:
        raise InputError(f"{file}: images is empty")
    for index, row in enumerate(content["images"]):
        for key in ("height", "width"):
            if type(row[key]) is not int or not 1 <= row[key] <= LARGEST_SIDE:
                allowed = f"a whole number from 1 to {LARGEST_SIDE}"
                raise InputError(f"{file}: images[{index}]: {key} {row[key]!r}; must be {allowed}")
    return content


def _class_of_category(categories, config, file):
    """Return {category id: class index}; categories that the yaml leaves out are absent."""
    for spelled in (str, lambda name: name.strip().casefold()):  # as they stand, then without case and blanks around
        index_of = {spelled(name): index for index, name in config.names.items()}
        theirs = {row["id"]: spelled(row["name"]) for row in categories}
        if set(theirs.values()) <= set(index_of) or set(index_of) <= set(theirs.values()):
            return {number: index_of[name] for number, name in theirs.items() if name in index_of}
    if len(categories) == config.nc:
        return {
            category: index for index, category in enumerate(sorted((row["id"] for row in categories), key=_by_number))
        }
    strange = ", ".join(sorted({row["name"] for row in categories} - set(config.names.values()))[:3])
    raise InputError(
        f"{file}: {len(categories)} categories ({strange}, …) do not match the {config.nc} names of {config.file}"
    )


def _image_folders(config, split, file):
    """Return the folders in which the images of a file may be."""
    above, name = file.parent.parent, file.stem.split("_", 1)[-1]
    folders = [above / "images" / name, above / name, above / "images" / split, above / split, above / "images"]
    return [file.parent, *folders, config.path, Path.cwd()]


def _rows_by_image(content, classes, file):
    """Return {image id: list of (index of the annotation, class, box, whether it is a crowd)}."""
    rows = {image["id"]: [] for image in content["images"]}
    for index, annotation in enumerate(content["annotations"]):
        if annotation["image_id"] not in rows:
            raise InputError(f"{file}: annotations[{index}]: image_id {annotation['image_id']} is not among the images")
        if annotation["category_id"] in classes:
            row = index, classes[annotation["category_id"]], annotation["bbox"], bool(annotation.get("iscrowd", 0))
            rows[annotation["image_id"]].append(row)
    return rows


def _by_number(category):
    """Return a sorting key: numbers by size, before ids that are text."""
    return isinstance(category, str), category


def _is_finite(value):
    return isinstance(value, (int, float)) and -FARTHEST <= value <= FARTHEST  # NaN fails as well
