"""COCO instances json: reading one as samples, writing samples as one. Format: cocodataset.org/#format-data."""

import json
import math
from pathlib import Path

import numpy as np

from utils.data.labels import BOX_COLUMNS, Counts, Sample
from utils.errors import InputError

_UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # numbers up to 90 that the 80 classes of COCO skip
COCO80_TO_91 = tuple(number for number in range(1, 91) if number not in _UNUSED_IDS)  # class index → category id


def read_coco(files, config, split):
    """Return (list of Sample, Counts) of COCO instances files for a split of a DataConfig, in the order of the files.

    Boxes (x, y, w, h px) are cut at the image; crowd boxes and those with nothing inside it are skipped. Categories
    belong to the classes of the yaml by name, and by the order of their ids where the names differ. Images are looked
    for by file_name beside the json, in ../images/NAME, ../NAME (for instances_NAME.json and for the split) and `path`;
    those that are absent are left out and counted as corrupt. Raises InputError.
    """
    samples, counts = [], Counts()
    for file in files:
        content = _read_json(file)
        classes = _class_of_category(content["categories"], config, file)
        folder = _image_folder(content["images"], config, split, file)
        rows = _rows_by_image(content, classes, file)
        for image in content["images"]:
            path = folder / image["file_name"]
            if path.is_file():
                samples.append(_sample(path, image, rows[image["id"]], counts))
            else:
                counts.corrupt += 1
    if counts.corrupt > len(samples):
        total = counts.corrupt + len(samples)
        raise InputError(f"{files[0]}: {counts.corrupt} of {total} images are not there; is the copy complete?")
    return samples, counts


def write_coco(path, samples, names):
    """Write samples as COCO instances; the category id is the class index, image ids are those of image_id."""
    images, annotations = [], []
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
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def image_id(path):
    """Return the id of an image in COCO json files: its stem, as a number where it is one (000000000139.jpg → 139)."""
    stem = Path(path).stem
    return int(stem) if stem.isdecimal() else stem


def _read_json(file):
    """Return the content of an instances file after checking that the parts in use are there."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
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
            if not isinstance(row[key], int) or row[key] < 1:
                raise InputError(f"{file}: images[{index}]: {key} {row[key]!r}; must be a whole number of at least 1")
    return content


def _class_of_category(categories, config, file):
    """Return {category id: class index}; categories that the yaml leaves out are absent."""
    index_of = {name: index for index, name in config.names.items()}
    theirs = {row["name"] for row in categories}
    if theirs <= set(index_of) or set(index_of) <= theirs:
        return {row["id"]: index_of[row["name"]] for row in categories if row["name"] in index_of}
    if len(categories) == config.nc:
        return {
            category: index for index, category in enumerate(sorted((row["id"] for row in categories), key=_by_number))
        }
    strange = ", ".join(sorted(theirs - set(index_of))[:3])
    raise InputError(
        f"{file}: {len(categories)} categories ({strange}, …) do not match the {config.nc} names of {config.file}"
    )


def _image_folder(images, config, split, file):
    """Return the first folder that holds the first image that can be found."""
    above, name = file.parent.parent, file.stem.split("_", 1)[-1]
    folders = [
        file.parent,
        above / "images" / name,
        above / name,
        above / "images" / split,
        above / split,
        above / "images",
        config.path,
    ]
    for image in images:
        for folder in folders:
            if (folder / image["file_name"]).is_file():
                return folder
    tried = ", ".join(dict.fromkeys(map(str, folders)))
    raise InputError(f"{file}: image {images[0]['file_name']} not found; looked in {tried}")


def _rows_by_image(content, classes, file):
    """Return {image id: list of (class, x, y, w, h px)} without crowds."""
    rows = {image["id"]: [] for image in content["images"]}
    for index, annotation in enumerate(content["annotations"]):
        box = annotation["bbox"]
        if annotation["image_id"] not in rows:
            raise InputError(f"{file}: annotations[{index}]: image_id {annotation['image_id']} is not among the images")
        if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(value) for value in box):
            raise InputError(f"{file}: annotations[{index}]: bbox {box}; must be four numbers x, y, width, height")
        if annotation["category_id"] in classes and not annotation.get("iscrowd", 0):
            rows[annotation["image_id"]].append((classes[annotation["category_id"]], *box))
    return rows


def _by_number(category):
    """Return a sorting key: numbers by size, before ids that are text."""
    return isinstance(category, str), category


def _is_finite(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _sample(path, image, rows, counts):
    """Return the Sample of one image and add it to the counts."""
    size = np.array([image["width"], image["height"]], float)
    boxes = np.array(rows, float).reshape(-1, BOX_COLUMNS)
    low = boxes[:, 1:3].clip(0, size)
    high = (boxes[:, 1:3] + boxes[:, 3:5]).clip(0, size)
    labels = np.concatenate([boxes[:, :1], (low + high) / 2 / size, (high - low) / size], 1)
    labels = labels[(high > low).all(1)].astype(np.float32)
    first = np.unique(labels, axis=0, return_index=True)[1]
    counts.found += 1
    counts.empty += not len(labels)
    counts.duplicate += len(labels) - len(first)
    return Sample(str(path), (image["height"], image["width"]), labels[np.sort(first)])
