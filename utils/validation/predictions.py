"""Detections as files: label rows (.txt), COCO results (.json), and COCO's own average precision of the latter.

The writers are observers of utils.validation.evaluate.evaluate.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from utils.boxes.geometry import scale_boxes, xyxy2xywh, xyxy2xywhn
from utils.data.config import DataConfig
from utils.data.formats.coco import COCO80_TO_91, image_id
from utils.errors import InputError
from utils.files.atomic import write_atomically
from utils.runtimes.packages import need

COCO_ENDS = ["person", "toothbrush"]  # first and last class of COCO


def write_labels(file: str | Path, detections: torch.Tensor, shape: tuple[int, int], with_conf: bool = False) -> None:
    """Write detections [n, 6] xyxy in pixels, score, class as rows `class cx cy w h [score]`.

    shape: (height, width) of the image, which the numbers in the file are shares of.
    """
    boxes = xyxy2xywhn(detections[:, :4], shape[1], shape[0])
    columns = [detections[:, 5:6], boxes, detections[:, 4:5]] if with_conf else [detections[:, 5:6], boxes]
    rows = (" ".join(f"{value:g}" for value in row) + "\n" for row in torch.cat(columns, 1).tolist())
    write_atomically(file, "".join(rows).encode(), durable=False)


class ResultNames:
    """Gives every source of results (a file, a camera, an address) its own name: a.jpg and a.png become a and a_2."""

    def __init__(self) -> None:
        """Start with all names free."""
        self.names: dict[str, str] = {}
        self.owners: dict[str, str] = {}  # by name in lower case

    def of(self, source: str, own: str) -> str:
        """Return the name for the results of a source that would like to be called `own`; says when it gets another."""
        if source in self.names:
            return self.names[source]
        name, number = own, 1
        while name.casefold() in self.owners:  # some file systems do not tell A from a
            number += 1
            name = f"{own}_{number}"
        if name != own:
            owner = self.owners[own.casefold()]
            print(f"{source}: its results are called {name}, those of {owner} {own}", file=sys.stderr)
        self.names[source], self.owners[name.casefold()] = name, source
        return name


class LabelWriter:
    """Writes each image's detections to folder/<image name>.txt."""

    def __init__(self, folder: str | Path, with_conf: bool = False) -> None:
        """Create the folder; with_conf adds the score as a sixth column."""
        self.folder, self.with_conf, self.names = Path(folder), with_conf, ResultNames()
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(
        self,
        index: int,
        images: torch.Tensor,
        targets: torch.Tensor,
        paths: list[str],
        shapes: list,
        detections: list[torch.Tensor],
    ) -> None:
        """Write the files of one batch."""
        for path, original, found in originals(images, paths, shapes, detections):
            write_labels(self.folder / f"{self.names.of(path, Path(path).stem)}.txt", found, original, self.with_conf)


def originals(
    images: torch.Tensor, paths: Sequence[str], shapes: Sequence[Any], detections: Sequence[torch.Tensor]
) -> Iterator[tuple[str, tuple[int, int], torch.Tensor]]:
    """Yield (path, (height, width), detections [n, 6] in pixels) of each original image of an observer's batch."""
    for path, (original, ratio_pad), found in zip(paths, shapes, detections, strict=True):
        boxes = scale_boxes(found[:, :4], images.shape[2:], original, ratio_pad)
        yield path, original, torch.cat((boxes, found[:, 4:]), 1)


class CocoWriter:
    """Collects detections as COCO results: image id, category id, box x, y, w, h in pixels of the original, score.

    The ids are those of the split's instances file where the data set has one (see find_annotations). Otherwise an
    image is called by its file name, and the 80 classes of COCO get the category ids of COCO, others their index.
    """

    def __init__(self, config: DataConfig, split: str) -> None:
        """config: DataConfig. Raises InputError when the instances file lacks a class."""
        self.annotations = find_annotations(config, split)
        self.image_ids: dict[str, Any] = {}  # by file name
        self.seen: set[Any] = set()
        self.results: list[dict[str, Any]] = []
        is_coco = list(config.names.values())[:: len(COCO80_TO_91) - 1] == COCO_ENDS
        self.categories: Sequence[int] = COCO80_TO_91 if is_coco else range(config.nc)
        if self.annotations:
            self.image_ids, ids = read_ids(self.annotations)
            lacking = [name for name in config.names.values() if name not in ids]
            if lacking:
                raise InputError(
                    f"{self.annotations}: no category {lacking[0]!r}, which {config.file} names; "
                    "must name the same classes for --save-json"
                )
            self.categories = [ids[name] for name in config.names.values()]

    def __call__(
        self,
        index: int,
        images: torch.Tensor,
        targets: torch.Tensor,
        paths: list[str],
        shapes: list,
        detections: list[torch.Tensor],
    ) -> None:
        """Collect one batch."""
        for path, _, found in originals(images, paths, shapes, detections):
            boxes = xyxy2xywh(found[:, :4])
            boxes[:, :2] -= boxes[:, 2:] / 2  # centre to left top
            image = self.image_ids.get(Path(path).name) if self.annotations else image_id(path)
            if image is None:
                raise InputError(f"{path}: not among the images of {self.annotations}, as --save-json needs")
            self.seen.add(image)
            self.results += [
                {
                    "image_id": image,
                    "category_id": self.categories[int(label)],
                    "bbox": [round(value, 3) for value in box],
                    "score": round(score, 5),
                }
                for box, (score, label) in zip(boxes.tolist(), found[:, 4:].tolist())
            ]

    def finish(self, file: Path) -> None:
        """Write all results, say where; print COCO's table of average precision when there are annotations."""
        write_atomically(file, json.dumps(self.results).encode())
        print(f"{len(self.results)} detections as COCO results: {file}")
        if self.annotations and self.results:
            print(f"COCO's average precision against {self.annotations}")
            coco_average_precision(self.annotations, file, self.seen)


def find_annotations(config: DataConfig, split: str) -> Path | None:
    """Return the COCO instances file of a split of a DataConfig, or None.

    It is the split's entry itself, or annotations/instances_<the entry's name>.json below the data set's folder. A
    split of several entries has none.
    """
    entries = getattr(config, split)
    if not entries or len(entries) != 1:
        return None
    entry = config.path / entries[0]
    file = entry if entry.suffix == ".json" else config.path / "annotations" / f"instances_{entry.stem}.json"
    return file if file.is_file() else None


def read_ids(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return ({image file name: id}, {category name: id}) of a COCO instances file. Raises InputError."""
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        return (
            {Path(image["file_name"]).name: image["id"] for image in content["images"]},
            {category["name"]: category["id"] for category in content["categories"]},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a COCO instances file ({error!r}); must hold images and categories") from None


def coco_average_precision(annotations: Path, results: Path, image_ids: Iterable[Any]) -> tuple[float, ...]:
    """Print COCO's table of a results file against an instances file, for the images with `image_ids` alone.

    Returns its twelve numbers: AP, AP50, AP75, AP by size, AR1, AR10, AR100, AR by size. They are those of pycocotools,
    computed by faster-coco-eval. Raises InputError without it.
    """
    need("faster_coco_eval", "--save-json")
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(str(annotations))
    run = COCOeval_faster(truth, truth.loadRes(str(results)), "bbox", print_function=print)
    run.params.imgIds = sorted(image_ids)
    run.evaluate()
    run.accumulate()
    run.summarize()
    return tuple(map(float, run.stats[:12]))
