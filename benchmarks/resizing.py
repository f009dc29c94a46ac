"""Validate yolov5n.pt where photos are resized, and again on batches made by arithmetic that stands here alone.

    python benchmarks/resizing.py --folder DATA

DATA is that of benchmarks/parity.py. Each side of a photo becomes ceil(side · (imgsz / longest side)) in double
precision, as in the public master; the public v7.0 truncates instead. Both numbers of a row must be the same.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.cli.options import option  # noqa: E402  (the path comes first)
from utils.cli.start import run  # noqa: E402  (the path comes first)
from utils.data.config import DataConfig  # noqa: E402
from utils.files.checkpoint import load_checkpoint  # noqa: E402
from utils.validation.measure import make_validation_loader, measure  # noqa: E402

STRIDE, PAD, GREY = 32, 0.5, 114


@dataclass
class ResizingOptions:
    """Options of this benchmark."""

    folder: str = option("data", "folder with weights/ and coco128/")
    split: str = option("val2017", "folder of images in coco128/images")


def sizes(files: list[Path]) -> np.ndarray:
    """Return height and width [n, 2] of image files."""
    return np.array([Image.open(file).size[::-1] for file in files])


def own_batches(files, imgsz, batch_size):
    """Yield batches as utils.data.loader.collate makes them, from OpenCV and this arithmetic alone."""
    aspects = np.array([height / width for height, width in sizes(files)])
    order = np.argsort(aspects)
    for start in range(0, len(files), batch_size):
        chosen = order[start : start + batch_size]
        low, high = aspects[chosen[0]], aspects[chosen[-1]]
        ratios = (high, 1) if high < 1 else (1, 1 / low) if low > 1 else (1, 1)
        canvas = [math.ceil(ratio * imgsz / STRIDE + PAD) * STRIDE for ratio in ratios]
        items = [own_item(files[index], imgsz, canvas) for index in chosen]
        targets = [np.insert(rows, 0, number, 1) for number, (_, rows, _) in enumerate(items)]
        images = torch.from_numpy(np.stack([image for image, _, _ in items]))
        names = tuple(str(files[index]) for index in chosen)
        yield images, torch.from_numpy(np.concatenate(targets)).float(), names, tuple(shape for _, _, shape in items)


def own_item(file, imgsz, canvas):
    """Return (image [3, h, w] in RGB, labels [n, 5] as shares of it, shapes) of one photo on a grey canvas (h, w)."""
    photo = cv2.imread(str(file))
    height, width = photo.shape[:2]
    ratio = imgsz / max(height, width)
    size = math.ceil(width * ratio), math.ceil(height * ratio)
    if ratio != 1:
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    left, top = (canvas[1] - size[0]) / 2, (canvas[0] - size[1]) / 2
    image = np.full((*canvas, 3), GREY, np.uint8)
    x, y = round(left - 0.1), round(top - 0.1)
    image[y : y + size[1], x : x + size[0]] = photo
    labels = Path(str(file).replace("/images/", "/labels/")).with_suffix(".txt")
    rows = np.loadtxt(labels, ndmin=2) if labels.is_file() and labels.stat().st_size else np.zeros((0, 5))
    rows = np.unique(rows, axis=0).reshape(-1, 5)
    moved = rows * (1, size[0], size[1], size[0], size[1]) + (0, left, top, 0, 0)
    shares = moved / (1, canvas[1], canvas[0], canvas[1], canvas[0])
    return (
        np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)),
        shares,
        ((height, width), ((size[1] / height, size[0] / width), (left, top))),
    )


def truncated(files, imgsz):
    """Return how many photos get another size where it is truncated, as the public v7.0 does."""
    found = sizes(files)
    exact = found * (imgsz / found.max(1, keepdims=True))
    return int((np.ceil(exact) != np.floor(exact)).any(1).sum())


def main(options: ResizingOptions) -> None:
    """Print the table."""
    folder = Path(options.folder).resolve()
    model = load_checkpoint(folder / "weights/yolov5n.pt").model.float()
    images = folder / "coco128/images" / options.split
    files, split, cpu = sorted(images.glob("*.jpg")), (str(images),), torch.device("cpu")
    config = DataConfig(Path("coco128.yaml"), folder, (folder,), None, split, None, dict(model.names), None)
    print(
        "| flags | photos that truncation gives another size | arithmetic of its own: P / R / mAP50 / mAP50-95 "
        "| val.py | largest difference |\n|---|---|---|---|---|"
    )
    for imgsz in (192, 416):
        for batch in (1, 16):
            loader = make_validation_loader(model, config, "val", imgsz, batch, 0, progress=False)
            found = []
            for batches in (own_batches(files, imgsz, batch), loader):
                result = measure(model, batches, device=cpu, names=config.names, conf=0.001, iou=0.6, progress=False)
                found.append((result.precision, result.recall, result.map50, result.map))
            cells = [" / ".join(f"{value:.4f}" for value in values) for values in found]
            largest = max(abs(a - b) for a, b in zip(*found, strict=True))
            flags = f"`--imgsz {imgsz} --batch-size {batch}`"
            print(f"| {flags} | {truncated(files, imgsz)} of {len(files)} | {cells[0]} | {cells[1]} | {largest:.4f} |")


if __name__ == "__main__":
    run(ResizingOptions, main, __doc__)
