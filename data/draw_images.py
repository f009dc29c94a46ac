"""Draw the pictures in data/images, and their labels in data/labels: scenes that the networks of demo.py know."""

import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from utils.data.shapes import LARGEST_COVER, NAMES, cover, draw_background, label_text, outline, paint, place  # noqa: E402

WIDTH, HEIGHT = 640, 480  # pixels: the default --imgsz, at which nothing is resized
WINDOW = 160  # pixels: the side of the demo's images, so that the shapes are as large as there
SHAPES = 12  # that are tried in a scene
SEEDS = (1, 3, 9)  # of scenes in which the demo's fine-tuned network finds every shape and nothing else
QUALITY = 80  # of the JPEG files


def draw_scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (image uint8 [HEIGHT, WIDTH, 3], labels float32 [n, 5] class cx cy w h normalised) drawn from a seed."""
    rng = np.random.default_rng(seed)
    image = draw_background(WIDTH, rng)[:HEIGHT]
    kinds, boxes = [], []
    for number in range(SHAPES):
        kind = number % len(NAMES)
        polygon = place(outline(kind), WINDOW, rng) + rng.uniform(0, (WIDTH - WINDOW, HEIGHT - WINDOW))
        box = np.concatenate((polygon.min(0), polygon.max(0)))
        if all(cover(box, other) <= LARGEST_COVER for other in boxes):
            paint(image, polygon, rng)
            kinds.append(kind)
            boxes.append(box)
    corners = np.array(boxes).reshape(-1, 2, 2) / (WIDTH, HEIGHT)
    middles, sides = corners.mean(1), np.ptp(corners, axis=1)
    return image, np.column_stack((kinds, middles, sides)).astype(np.float32)


def main(folder: Path = ROOT / "data") -> None:
    """Draw the scenes into images/ and labels/ of a folder."""
    for number, seed in enumerate(SEEDS, 1):
        image, labels = draw_scene(seed)
        for kind in ("images", "labels"):
            (folder / kind).mkdir(exist_ok=True)
        _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        (folder / "images" / f"shapes{number}.jpg").write_bytes(content.tobytes())
        (folder / "labels" / f"shapes{number}.txt").write_text(label_text(labels))


if __name__ == "__main__":
    main()
