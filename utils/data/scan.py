"""Looking through a split once: every image and its labels, what is wrong with them, and what is said about it."""

import os
import sys
from functools import cache
from glob import escape
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Protocol

import numpy as np

from utils.data.images import read_image
from utils.data.label_cache import Scanned, fingerprint, read_cache, write_cache
from utils.data.labels import BOX_COLUMNS, KINDS, Counts, Objects, Sample, list_problems
from utils.errors import InputError
from utils.progress import track

SHOWN = 5  # images that are named
MOST_MISSING = 0.1  # share of the images that may be absent or unreadable
DONE = {  # what is said of objects and rows, by the field of Counts
    "clipped": "objects reach out of their image and are cut at its edge",
    "dropped": "objects outside their image or of no size are left out",
    "skipped": "label rows cannot be read and are left out",
    "difficult": "objects are marked difficult and left out; `difficult: true` in the data yaml keeps them",
    "turned": "images have labels for the photo as the camera stored it; their boxes are turned with it",
}


class Annotations(Protocol):
    """The images of a split and how their objects are read: LabelFiles or CocoFiles."""

    images: list[Path]
    key: str

    def files(self, image: Path) -> tuple[Path, ...]:
        """Return the files whose change makes what is known of an image out of date."""

    def read(self, image: Path, shape: tuple[int, int]) -> Objects | None:
        """Return the Objects of an image of shape (h, w), None when nothing is written about it."""


def scan(
    annotations: Annotations,
    cache_path: Path | None = None,
    workers: int = 1,
    progress: bool = True,
    split: str = "images",
    hint: str = "",
) -> tuple[list[Sample], Counts]:
    """Read every image and its labels, once: the result is kept in cache_path until a file changes.

    Images that are not there or cannot be decoded are left out, counted and named on stderr; images without labels are
    background. Raises InputError for rows that cannot be read, when more than a tenth of the images is missing, when
    there is not one label file, and when all objects are crowds.

    split: what the images are called in messages. hint: added when images are missing, such as where they were sought.
    """
    images = annotations.images
    key = fingerprint(annotations)
    scanned = read_cache(cache_path, key, len(images)) if cache_path else None
    if scanned is None:
        scanned = _scan_files(annotations, workers, progress)
        _check_rows(annotations, scanned)
        if cache_path:
            write_cache(cache_path, key, scanned)
    samples, counts, lost = [], Counts(), []
    for image, (shape, objects) in zip(images, scanned, strict=True):
        if shape is None:
            lost.append(image)
        else:
            samples.append(_sample(image, shape, objects, counts))
    _report_lost(lost, len(images), counts, split, hint)
    _report_labels(annotations, samples, counts, split)
    return samples, counts


@cache
def say(line: str) -> None:
    """Print a line on stderr once, however often a split is read, and from one process of a team."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr)


def _scan_files(annotations, workers, progress):
    """Return one Scanned an image; decoding releases the interpreter lock, so threads are enough."""

    def look(image):
        pixels = read_image(image)
        if pixels is None:
            return Scanned(None, None)
        return Scanned(pixels.shape[:2], annotations.read(image, pixels.shape[:2]))

    images = annotations.images
    with ThreadPool(max(workers, 1)) as pool:
        found = pool.imap(look, images, chunksize=8)
        return list(track(found, "scanning", len(images), shown=progress))


def _check_rows(annotations, scanned):
    """Count the rows that cannot be read, if they may be left out; otherwise raise InputError that lists them."""
    found = [entry.objects for entry in scanned if entry.objects]
    if not annotations.rules.skip_bad and any(objects.problems for objects in found):
        raise InputError(list_problems([problem for objects in found for problem in objects.problems]))
    for objects in found:
        objects.counts["skipped"] += len(objects.problems)


def _sample(image, shape, objects, counts):
    """Return the Sample of one readable image and add it to the counts."""
    if objects is None:
        counts.missing += 1
        return Sample(str(image), shape, np.zeros((0, BOX_COLUMNS), np.float32))
    counts.found += 1
    counts.empty += not len(objects.boxes)
    for kind in KINDS:
        setattr(counts, kind, getattr(counts, kind) + objects.counts[kind])
    return Sample(str(image), shape, objects.boxes, objects.segments)


def _report_lost(lost, total, counts, split, hint):
    """Count and name the images that are not there or cannot be read; raise InputError when they are too many."""
    absent = [image for image in lost if not os.path.exists(image)]
    broken = [image for image in lost if os.path.exists(image)]
    counts.absent, counts.corrupt = len(absent), len(broken)
    lines = []
    for images, problem in ((absent, "are not there"), (broken, "cannot be read")):
        if images:
            lines.append(f"{len(images)} of {total} images {problem}: {some(images)}")
    if len(lost) > MOST_MISSING * total:
        raise InputError(f"{split}: {'; '.join(lines)}; at most a tenth may be missing{hint * bool(absent)}")
    for line in lines:
        say(f"{split}: {line}")


def some(images: list[Path]) -> str:
    """Return the first of some paths and how many more there are, in words."""
    more = f" and {len(images) - SHOWN} more" if len(images) > SHOWN else ""
    return ", ".join(map(str, images[:SHOWN])) + more


def _report_labels(annotations, samples, counts, split):
    """Say what was met in the labels; raise InputError when there is nothing to learn from them."""
    images = [Path(sample.path) for sample in samples]
    if not counts.found:
        raise InputError(
            f"{images[0].parent}: none of {len(images)} images has a label file; the first one's should be "
            f"{annotations.files(images[0])[-1]}{_likely_place(images)}"
        )
    objects = sum(len(sample.labels) for sample in samples)
    if not objects and counts.crowd:
        raise InputError(f"{split}: all {counts.crowd} objects are crowds (iscrowd), which nothing is learnt from")
    if counts.missing:
        bare = [image for image in images if not annotations.files(image)[-1].is_file()]
        likely = _likely_place(bare) if counts.missing > counts.found else ""
        place = annotations.files(bare[0])[-1] if bare else "?"
        say(
            f"{split}: {counts.missing} of {len(images)} images have no label file, such as {place}: background{likely}"
        )
    for kind, words in DONE.items():
        if getattr(counts, kind):
            say(f"{split}: {getattr(counts, kind)} {words}")
    if not objects:
        say(f"{split}: not one object in {len(images)} images; mAP says nothing about them")


def _likely_place(images):
    """Return in words where the label file of the first image seems to be, empty when it is nowhere near."""
    image = images[0]
    for top in (image.parent, *image.parents[1:3]):
        for suffix in (".txt", ".xml"):
            found = next(top.rglob(f"{escape(image.stem)}{suffix}"), None)
            if found:
                return f"; there is {found}"
    return ""
