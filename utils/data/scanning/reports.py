"""What is said about the images and labels of a split, and when it is refused."""

import os
import sys
from collections.abc import Sequence
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.images import missing_reader
from utils.data.labels import Counts
from utils.data.scanning.table import Table
from utils.data.shards.places import located
from utils.errors import InputError

SHOWN = 5  # images that are named
MOST_MISSING = 0.1  # share of the images that may be absent or unreadable
DONE = {  # what is said of objects and rows, by the field of Counts
    "clipped": "objects reach out of their image and are cut at its edge",
    "dropped": "objects outside their image or of no size are left out",
    "skipped": "label rows cannot be read and are left out",
    "difficult": "objects are marked difficult and left out; `difficult: true` in the data yaml keeps them",
    "turned": "images have labels for the photo as the camera stored it; their boxes are turned with it",
}


@cache
def say(line: str) -> None:
    """Print a line on stderr once, however often a split is read, and from one process of a team."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr)


def some(files: Sequence[str | Path]) -> str:
    """Return the first of some paths and how many more there are, in words; in the folder of the first by name."""
    names = [str(file) for file in files[:SHOWN]]
    folder = os.path.join(os.path.dirname(names[0]), "")
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return ", ".join([names[0], *(name.removeprefix(folder) for name in names[1:])]) + more


def report_lost(lost: list[str], total: int, counts: Counts, split: str, hint: str) -> None:
    """Count and name the images that are not there or cannot be read; raise InputError when they are too many."""
    absent = [image for image in lost if not os.path.exists(located(image).file)]
    broken = [image for image in lost if os.path.exists(located(image).file)]
    counts.absent, counts.corrupt = len(absent), len(broken)
    lines = []
    for images, problem in ((absent, "are not there"), (broken, "cannot be read")):
        if images:
            lines.append(f"{len(images)} of {total} images {problem}: {some(images)}{missing_reader(images)}")
    if len(lost) > MOST_MISSING * total:
        raise InputError(f"{split}: {'; '.join(lines)}; at most a tenth may be missing{hint * bool(absent)}")
    for line in lines:
        say(f"{split}: {line}")


def report_labels(annotations: Any, table: Table, counts: Counts, split: str) -> None:
    """Say what was met in the labels; raise InputError when there is nothing to learn from them."""
    read = int(np.count_nonzero(table.readable))
    bare = [int(index) for index in np.flatnonzero(table.readable & (table.objects < 0))]
    if not counts.found:
        image, label = annotations.images[bare[0]], _label_of(annotations, bare[0])
        raise InputError(
            f"{os.path.dirname(image)}: none of {read} images has a label file; the first one's should be "
            f"{label}{_likely_place(image)}"
        )
    objects = int(table.objects[table.readable].clip(0).sum())
    if not objects and counts.crowd:
        raise InputError(f"{split}: all {counts.crowd} objects are crowds (iscrowd), which nothing is learnt from")
    if bare:
        likely = _likely_place(annotations.images[bare[0]]) if counts.missing > counts.found else ""
        place = _label_of(annotations, bare[0])
        say(f"{split}: {len(bare)} of {read} images have no label file, such as {place}: background{likely}")
    for kind, words in DONE.items():
        if getattr(counts, kind):
            say(f"{split}: {getattr(counts, kind)} {words}")
    if not objects:
        say(f"{split}: not one object in {read} images; mAP says nothing about them")


def _label_of(annotations, index):
    """Return where the label file of an image should be."""
    return annotations.labels[index] if annotations.labels else f"{Path(annotations.images[index]).stem}.txt in its tar"


def _likely_place(image):
    """Return in words where the label file of an image seems to be, empty when it is nowhere near."""
    image = Path(image)
    for top in (image.parent, *image.parents[1:3]):
        for suffix in (".txt", ".xml"):
            found = next(top.rglob(f"{escape(image.stem)}{suffix}"), None)
            if found:
                return f"; there is {found}"
    return ""
