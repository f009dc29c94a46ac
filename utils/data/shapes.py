"""The built-in data set: coloured shapes on textured backgrounds, drawn from a seed, the same bytes every time.

It comes in both formats that users have: YOLO label files and COCO instances json.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from utils.data.formats.coco import write_coco
from utils.data.images import write_image
from utils.data.labels import Sample
from utils.errors import InputError
from utils.files.atomic import folder_beside, naming

NAMES = ("circle", "square", "triangle", "star", "cross")
LARGEST_COVER = 0.25  # of the smaller of two boxes that may overlap
TRIES = 30  # places tried for one shape
SPLITS = ("train", "val")
RECIPE = "recipe.json"  # what a folder was drawn from, to recognise it
SUBPIXEL_BITS = 4  # polygon corners are given to OpenCV in sixteenths of a pixel


@dataclass(frozen=True)
class Difficulty:
    """What makes shapes easy or hard to see."""

    objects: tuple[int, int]  # fewest and most in an image
    sides: tuple[float, float]  # smallest and largest shape as a share of the image's side
    contrast: float  # least distance between the colours of a shape and of what is behind it, of 441
    grain: float  # deviation of the noise of a pixel, of 255


EASY = Difficulty((2, 7), (0.10, 0.32), 70, 8)
HARD = Difficulty((4, 14), (0.05, 0.25), 30, 20)


@dataclass(frozen=True)
class Recipe:
    """All that the bytes of a drawn data set depend on."""

    train: int
    val: int
    imgsz: int
    seed: int
    version: int = 1
    hard: bool = False


def draw_shapes(
    folder: str | Path, train: int = 400, val: int = 100, imgsz: int = 160, seed: int = 0, hard: bool = False
) -> Path:
    """Draw the data set into a folder and return the path of its data yaml; one that is there already is used again.

    Args:
        folder: gets images/train, images/val, labels/…, annotations/instances_{train,val}.json and shapes.yaml.
        train, val: number of images.
        imgsz: side of the square images in pixels.
        seed: start of the random numbers.
        hard: more and smaller shapes that stand out less.

    Raises InputError when the folder holds something else.
    """
    folder, recipe = Path(folder), Recipe(train, val, imgsz, seed, hard=hard)
    if folder.exists():
        if not is_drawn_from(folder, recipe):
            raise InputError(
                f"{folder}: holds something else than these shapes ({recipe}); give another folder or remove it"
            )
        return folder / "shapes.yaml"
    with folder_beside(folder) as beside, naming(folder):
        for number, split in enumerate(SPLITS):
            seeds = ([seed, number, i] for i in range(getattr(recipe, split)))
            draw_split(beside, split, [draw_image(imgsz, each, HARD if hard else EASY) for each in seeds])
        config = {"train": "images/train", "val": "images/val", "names": dict(enumerate(NAMES))}
        (beside / "shapes.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        (beside / RECIPE).write_text(json.dumps(asdict(recipe)))
        beside.rename(folder)
    return folder / "shapes.yaml"


def is_drawn_from(folder: Path, recipe: Any) -> bool:
    """Tell whether a folder holds the data set of a recipe."""
    try:
        return Recipe(**json.loads((folder / RECIPE).read_text())) == recipe
    except (OSError, ValueError, TypeError):
        return False


def draw_split(folder: Path, split: str, drawn: Any) -> None:
    """Write one split: pictures as PNG, which loses nothing, label files and the COCO json."""
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    samples = []
    for i, (image, labels) in enumerate(drawn, start=1):
        path = folder / "images" / split / f"{i:06d}.png"
        write_image(path, image)
        (folder / "labels" / split / f"{i:06d}.txt").write_text(label_text(labels))
        samples.append(Sample(str(path), image.shape[:2], labels))
    write_coco(folder / "annotations" / f"instances_{split}.json", samples, dict(enumerate(NAMES)))


def label_text(labels: np.ndarray) -> str:
    """Return the content of the label file for labels [n, 5] class cx cy w h, normalised."""
    return "".join(f"{int(c)} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for c, x, y, w, h in labels)


def draw_image(imgsz: int, seed: Any, difficulty: Difficulty = EASY) -> tuple[np.ndarray, np.ndarray]:
    """Return (image uint8 [imgsz, imgsz, 3], labels float32 [n, 5] class cx cy w h normalised) drawn from a seed."""
    rng = np.random.default_rng(seed)
    image = draw_background(imgsz, rng, difficulty.grain)
    boxes: list[Any] = []  # class, x1, y1, x2, y2 in pixels
    fewest, most = difficulty.objects
    for _ in range(rng.integers(fewest, most + 1)):
        kind = int(rng.integers(len(NAMES)))
        for _ in range(TRIES):
            polygon = place(outline(kind), imgsz, rng, difficulty.sides)
            box = [*polygon.min(0), *polygon.max(0)]
            if all(cover(box, other[1:]) <= LARGEST_COVER for other in boxes):
                paint(image, polygon, rng, difficulty.contrast)
                boxes.append([kind, *box])
                break
    kinds, (x1, y1, x2, y2) = np.array(boxes)[:, 0], np.array(boxes)[:, 1:].T / imgsz
    return image, np.stack((kinds, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), 1).astype(np.float32)


def draw_background(imgsz: int, rng: np.random.Generator, grain: float = EASY.grain) -> np.ndarray:
    """Return a textured picture: patches of colour of two sizes, and grain of a deviation."""
    image = np.full((imgsz, imgsz, 3), rng.uniform(60, 190, 3))
    for cells, strength in ((3, 40), (12, 18)):
        patches = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(patches, (imgsz, imgsz), interpolation=cv2.INTER_CUBIC)
    image += rng.normal(0, grain, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def outline(kind: int) -> np.ndarray:
    """Return the corners [k, 2] of a shape of NAMES around the origin, of radius 1."""

    def ring(corners, radii=(1.0,)):
        """Return corners on circles, the radii in turns."""
        angles = np.arange(corners) * 2 * np.pi / corners - np.pi / 2
        return np.stack((np.cos(angles), np.sin(angles)), 1) * np.resize(radii, corners)[:, None]

    if NAMES[kind] == "cross":
        arm = 0.32
        corner = np.array([[-arm, -1], [arm, -1], [arm, -arm]])
        quarter_turn = np.array([[0, 1], [-1, 0]])
        return np.concatenate([corner @ np.linalg.matrix_power(quarter_turn, n) for n in range(4)])
    return {"circle": ring(48), "square": ring(4), "triangle": ring(3), "star": ring(10, (1.0, 0.42))}[NAMES[kind]]


def place(
    corners: np.ndarray, imgsz: int, rng: np.random.Generator, sides: tuple[float, float] = EASY.sides
) -> np.ndarray:
    """Return a shape's corners [k, 2] in pixels, turned, scaled and moved to a random place inside the image.

    sides: smallest and largest shape as a share of the image's side.
    """
    angle = rng.uniform(0, 2 * np.pi)
    turned = corners @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    smallest, largest = sides
    side = imgsz * smallest * (largest / smallest) ** rng.random()  # small ones are as frequent as large ones
    scaled = turned * side / np.ptp(turned, axis=0).max()
    low, high = -scaled.min(0) + 1, imgsz - scaled.max(0) - 1
    return scaled + rng.uniform(low, high)


def cover(box: Any, other: Any) -> float:
    """Return which share of the smaller of two boxes (x1, y1, x2, y2) lies in the other."""
    overlap = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return overlap.clip(0).prod() / min(areas)


def paint(image: np.ndarray, polygon: np.ndarray, rng: np.random.Generator, contrast: float = EASY.contrast) -> None:
    """Fill a polygon [k, 2] (pixels) with a colour that stands out from what is behind it; changes the image.

    contrast: the least distance between the two.
    """
    left, top = np.floor(polygon.min(0)).astype(int)
    right, bottom = np.ceil(polygon.max(0)).astype(int)
    behind = image[top : bottom + 1, left : right + 1].mean((0, 1))
    tone = rng.uniform(0, 255, 3)
    while np.linalg.norm(tone - behind) < contrast:
        tone = rng.uniform(0, 255, 3)
    # OpenCV puts pixel centres at whole numbers; labels count from the image's corner.
    corners = np.round((polygon - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(image, [corners], [float(t) for t in tone], cv2.LINE_AA, SUBPIXEL_BITS)
