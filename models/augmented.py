"""Test-time augmentation: the predictions of an image at three scales, one of them flipped, joined."""

import math
from collections.abc import Callable

import torch
from torch.nn import functional

PAD_GREY = 0.447  # mean of ImageNet, for the borders
AUGMENT = ((1.0, False), (0.83, True), (0.67, False))  # (scale, flipped left-right)


def predict_augmented(
    predict: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, grid: int, scales: int
) -> torch.Tensor:
    """Return the predictions [B, N, 5 + nc] of scaled and flipped copies of images [B, C, H, W], in pixels of x.

    Args:
        predict: gives the predictions for images whose sides are multiples of grid.
        x: images from 0 to 1.
        grid: pixels.
        scales: number of detection scales, fine to coarse, each with a quarter of the cells of the one before.
    """
    width = x.shape[-1]
    outputs = []
    for scale, flip in AUGMENT:
        y = predict(scale_images(x.flip(3) if flip else x, scale, grid))
        cx, cy, wh, rest = y.split((1, 1, 2, y.shape[-1] - 4), -1)
        cx = width - cx / scale if flip else cx / scale
        outputs.append(torch.cat((cx, cy / scale, wh / scale, rest), -1))
    # The coarsest cells of the full image and the finest of the smallest one are the least trustworthy.
    cells = [4**i for i in range(scales)]
    outputs[0] = outputs[0][:, : -(outputs[0].shape[1] // sum(cells)) * cells[0]]
    outputs[-1] = outputs[-1][:, (outputs[-1].shape[1] // sum(cells)) * cells[-1] :]
    return torch.cat(outputs, 1)


def scale_images(images: torch.Tensor, ratio: float, grid: int) -> torch.Tensor:
    """Return images [B, 3, H, W] resized by ratio, padded at right and bottom with grey to multiples of grid."""
    if ratio == 1.0:
        return images
    height, width = images.shape[-2:]
    size = int(height * ratio), int(width * ratio)
    padded_height, padded_width = (math.ceil(n * ratio / grid) * grid for n in (height, width))
    images = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
    return functional.pad(images, [0, padded_width - size[1], 0, padded_height - size[0]], value=PAD_GREY)
