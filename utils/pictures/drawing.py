"""Boxes drawn on images, one at a time and whole batches as a picture of tiles. Images are uint8 [H, W, 3] BGR."""

import colorsys
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from utils.boxes.geometry import xywhn2xyxy
from utils.data.images import write_image
from utils.files.paths import RunFolder, valid_text

GOLDEN = 0.618034  # steps of the golden ratio keep the hues of neighbouring classes far apart
GREY = 114
Colour = tuple[int, int, int]  # blue, green, red: 0 to 255

FONT = cv2.FONT_HERSHEY_SIMPLEX
TILES = 16  # most images in one picture of a batch
PICTURE = 1920  # longest side of such a picture in pixels
SHOWN_CONF = 0.25  # detections below this would hide the picture


def colour(index: int) -> Colour:
    """Return the colour of a class as (blue, green, red)."""
    red, green, blue = colorsys.hsv_to_rgb(index * GOLDEN % 1, 0.85 - 0.35 * (index % 2), 1 - 0.25 * (index % 3) / 2)
    return round(255 * blue), round(255 * green), round(255 * red)


def text_colour(background: Colour) -> Colour:
    """Return black or white, whichever can be read on a (blue, green, red) background."""
    blue, green, red = background
    return (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else (255, 255, 255)


def line_width(image: np.ndarray) -> int:
    """Return a line thickness in pixels that suits the image's size."""
    return max(round(sum(image.shape[:2]) / 2 * 0.003), 1)


def draw_text(
    image: np.ndarray, text: str, left: int, bottom: int, background: Colour, scale: float, thickness: int = 1
) -> None:
    """Write text on a filled box whose lower left corner is (left, bottom), moved into the image; changes the image."""
    (width, height), below = cv2.getTextSize(text, FONT, scale, thickness)
    tall = height + below + 2
    left = max(min(left, image.shape[1] - width - 2), 0)
    bottom = max(bottom, tall)
    cv2.rectangle(image, (left, bottom - tall), (left + width + 2, bottom), background, -1)
    cv2.putText(image, text, (left + 1, bottom - below), FONT, scale, text_colour(background), thickness, cv2.LINE_AA)


def draw_box(image: np.ndarray, box: Sequence[float], text: str, tone: Colour, thickness: int) -> None:
    """Draw one xyxy box in pixels with its text (none if empty) above it; changes the image."""
    left, top, right, bottom = (round(float(value)) for value in box)
    cv2.rectangle(image, (left, top), (right, bottom), tone, thickness)
    if text:
        draw_text(image, text, left, top, tone, scale=0.3 + 0.1 * thickness, thickness=max(thickness - 1, 1))


def draw_detections(
    image: np.ndarray,
    detections: torch.Tensor,
    names: Mapping[int, str],
    thickness: int | None = None,
    labels: bool = True,
    scores: bool = True,
) -> np.ndarray:
    """Draw detections [n, 6] xyxy in pixels, score, class, the surest on top; changes and returns the image."""
    thickness = thickness or line_width(image)
    for *box, score, index in reversed(detections.tolist()):
        text = names[int(index)] + (f" {score:.2f}" if scores else "") if labels else ""
        draw_box(image, box, text, colour(int(index)), thickness)
    return image


def as_detections(targets: torch.Tensor, count: int, shape: Sequence[int]) -> list[torch.Tensor]:
    """Return targets [N, 6] (image, class, normalised xywh) as `count` tensors [n, 6] xyxy, score 1, class in pixels.

    shape: (height, width) of the images.
    """
    boxes = xywhn2xyxy(targets[:, 2:6].float(), shape[1], shape[0])
    rows = torch.cat((boxes, torch.ones_like(boxes[:, :1]), targets[:, 1:2]), 1)
    return [rows[targets[:, 0] == image] for image in range(count)]


def write_batch(
    file: Path,
    images: torch.Tensor,
    detections: Sequence[torch.Tensor],
    paths: Sequence[str],
    names: Mapping[int, str],
    scores: bool = True,
) -> None:
    """Write a picture of up to 16 images of a batch side by side, with boxes and file names.

    Args:
        file: picture to write.
        images: [B, 3, H, W] RGB, uint8 or from 0 to 1.
        detections: B tensors [n, 6] xyxy in pixels of `images`, score, class.
        paths: B image paths.
        names: class index → name.
        scores: also write the scores.
    """
    images = images[:TILES].cpu()
    if images.is_floating_point():
        images = (images * 255).round().to(torch.uint8)
    height, width = images.shape[2:]
    across = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / across)
    factor = min(PICTURE / (across * width), PICTURE / (down * height), 1.0)
    height, width = math.ceil(height * factor), math.ceil(width * factor)
    picture = np.full((down * height, across * width, 3), GREY, np.uint8)
    for index, (image, found, path) in enumerate(zip(images, detections, paths)):
        tile = cv2.resize(image.numpy()[::-1].transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_AREA)
        found = torch.cat((found[:, :4].cpu() * factor, found[:, 4:].cpu()), 1)
        draw_detections(tile, found, names, scores=scores)
        draw_text(tile, valid_text(Path(path).name)[:40], 0, height, (40, 40, 40), scale=0.4)
        cv2.rectangle(tile, (0, 0), (width - 1, height - 1), (255, 255, 255), 1)
        row, column = divmod(index, across)
        picture[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    write_image(file, picture)


class BatchPainter:
    """Observer of utils.validation.evaluate that writes pictures of the first batches: labels and detections."""

    def __init__(self, folder: RunFolder, names: Mapping[int, str], batches: int = 3) -> None:
        """folder: RunFolder; names: class index → name."""
        self.folder, self.names, self.batches = folder, names, batches

    def __call__(
        self,
        index: int,
        images: torch.Tensor,
        targets: torch.Tensor,
        paths: Sequence[str],
        shapes: Sequence[object],
        detections: Sequence[torch.Tensor],
    ) -> None:
        """Write two pictures of one batch."""
        if index < self.batches:
            labels = as_detections(targets, len(images), images.shape[2:])
            sure = [found[found[:, 4] > SHOWN_CONF] for found in detections]
            write_batch(self.folder.val_batch_labels(index), images, labels, paths, self.names, scores=False)
            write_batch(self.folder.val_batch_pred(index), images, sure, paths, self.names)
