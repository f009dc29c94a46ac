"""A fixed training step to measure against: the operations that detectors are commonly trained with, one by one.

Photos are decoded whole, mosaics laid on a canvas of twice the size that is then warped as a whole, colours changed by
two conversions and three tables, images laid out plane by plane; the network runs with the planes apart and activations
in place; the loss indexes the whole outputs; SGD and the moving average go tensor by tensor. The project uses nothing
of it: it stays as it is, so that ratios to it can be compared over machines and years.
"""

import math
from copy import deepcopy
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torch.utils.data import DataLoader, Dataset

from utils.boxes.geometry import ciou
from utils.boxes.loss import DetectionLoss
from utils.data.samples import Samples
from utils.training.optim import build_optimizer

GREY = (114, 114, 114)
DECAY, TAU = 0.9999, 2000
NOMINAL_BATCH = 64
CLIP_NORM = 10.0


class Photos(Dataset):
    """Training items of square size: mosaic, affine, colour, flip."""

    def __init__(self, samples: Samples, imgsz: int, hyp: dict) -> None:
        self.samples, self.imgsz, self.hyp = samples, imgsz, hyp

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        """Return (image uint8 [3, H, W] in RGB, labels float32 [n, 6]: 0, class, cx, cy, w, h normalised)."""
        image, boxes = self.warped(*self.mosaic(index))
        image = self.coloured(image)
        side = self.imgsz
        if np.random.random() < self.hyp["fliplr"]:
            image = np.fliplr(image)
            boxes[:, [1, 3]] = side - boxes[:, [3, 1]]
        labels = np.zeros((len(boxes), 6), np.float32)
        labels[:, 1] = boxes[:, 0]
        labels[:, 2:4] = (boxes[:, 1:3] + boxes[:, 3:5]) / 2 / side
        labels[:, 4:6] = (boxes[:, 3:5] - boxes[:, 1:3]) / side
        image = np.ascontiguousarray(image.transpose((2, 0, 1))[::-1])
        return torch.from_numpy(image), torch.from_numpy(labels)

    def photo(self, index: int) -> Any:
        """Return a photo [h, w, 3] with its long side equal to imgsz, and its labels."""
        image = cv2.imread(self.samples.paths[index])
        ratio = self.imgsz / max(image.shape[:2])
        if ratio != 1:
            size = math.ceil(image.shape[1] * ratio), math.ceil(image.shape[0] * ratio)
            image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        return image, self.samples.labels[index]

    def mosaic(self, index: int) -> Any:
        """Return a canvas of twice imgsz with four photos, and their boxes [n, 5]: class, x1, y1, x2, y2 in pixels."""
        side = 2 * self.imgsz
        canvas = np.full((side, side, 3), GREY[0], np.uint8)
        x, y = (int(v) for v in np.random.uniform(side / 4, side * 3 / 4, 2))
        found = []
        for corner, which in enumerate((index, *np.random.randint(len(self), size=3))):
            image, labels = self.photo(which)
            height, width = image.shape[:2]
            left, top = (x if corner % 2 else x - width), (y if corner // 2 else y - height)
            x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + width, side), min(top + height, side)
            canvas[y1:y2, x1:x2] = image[y1 - top : y2 - top, x1 - left : x2 - left]
            boxes = labels.copy()
            boxes[:, 1:3] = (labels[:, 1:3] - labels[:, 3:5] / 2) * (width, height) + (left, top)
            boxes[:, 3:5] = (labels[:, 1:3] + labels[:, 3:5] / 2) * (width, height) + (left, top)
            found.append(boxes)
        boxes = np.concatenate(found)
        boxes[:, 1:] = boxes[:, 1:].clip(0, side)
        return canvas, boxes

    def warped(self, canvas: np.ndarray, boxes: np.ndarray) -> Any:
        """Return a canvas scaled and moved by chance, cropped to imgsz, with the boxes that are left."""
        side = self.imgsz
        scale = np.random.uniform(1 - self.hyp["scale"], 1 + self.hyp["scale"])
        moves = np.random.uniform(0.5 - self.hyp["translate"], 0.5 + self.hyp["translate"], 2) * side
        matrix = np.array([[scale, 0, moves[0] - scale * side], [0, scale, moves[1] - scale * side]])
        image = cv2.warpAffine(canvas, matrix, dsize=(side, side), borderValue=GREY)
        corners = boxes[:, [1, 2, 3, 4, 1, 4, 3, 2]].reshape(-1, 4, 2)
        corners = corners @ matrix[:, :2].T + matrix[:, 2]
        moved = boxes.copy()
        moved[:, 1:] = np.concatenate((corners.min(1), corners.max(1)), 1).clip(0, side)
        sides, before = moved[:, 3:] - moved[:, 1:3], (boxes[:, 3:] - boxes[:, 1:3]) * scale
        return image, moved[(sides > 2).all(1) & (sides.prod(1) > 0.1 * before.prod(1))]

    def coloured(self, image: np.ndarray) -> np.ndarray:
        """Return an image with hue, saturation and value changed by chance."""
        gains = np.random.uniform(-1, 1, 3) * [self.hyp["hsv_h"], self.hyp["hsv_s"], self.hyp["hsv_v"]] + 1
        hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
        levels = np.arange(256, dtype=gains.dtype)
        tables = levels * gains[0] % 180, (levels * gains[1]).clip(0, 255), (levels * gains[2]).clip(0, 255)
        channels = [
            cv2.LUT(channel, table.astype(np.uint8))
            for channel, table in zip((hue, saturation, value), tables, strict=True)
        ]
        return cv2.cvtColor(cv2.merge(channels), cv2.COLOR_HSV2BGR)


def joined(items: Any) -> Any:
    """Return a batch of items: images [B, 3, H, W] and labels [N, 6] with the number of their image."""
    images, labels = zip(*items, strict=True)
    for index, rows in enumerate(labels):
        rows[:, 0] = index
    return torch.stack(images, 0), torch.cat(labels, 0)


class ReferenceTraining:
    """Epochs of the reference on a copy of a network."""

    def __init__(self, model: Any, samples: Samples, hyp: dict, imgsz: int, batch_size: int, workers: int) -> None:
        self.model = deepcopy(model).to(memory_format=torch.contiguous_format).train()
        self.average = deepcopy(self.model).eval()
        self.optimizer = build_optimizer(self.model, "SGD", 1e-4, hyp["momentum"], hyp["weight_decay"])
        self.loss = DetectionLoss(self.model, hyp, imgsz)
        self.loader = DataLoader(
            Photos(samples, imgsz, hyp), batch_size, shuffle=True, num_workers=workers, collate_fn=joined
        )
        self.accumulate, self.updates = max(round(NOMINAL_BATCH / batch_size), 1), 0

    def load(self) -> None:
        """Load the images of an epoch, and do nothing with them."""
        for _ in self.loader:
            pass

    def epoch(self) -> None:
        """Train for an epoch."""
        for index, (images, targets) in enumerate(self.loader, 1):
            raw = self.model(images.float() / 255)
            self.summed_loss(raw, targets).backward()
            if index % self.accumulate == 0 or index == len(self.loader):
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.follow()

    def summed_loss(self, raw: Any, targets: torch.Tensor) -> torch.Tensor:
        """Return the weighted loss times the batch size."""
        total = torch.zeros(3)
        for i, (y, (index, anchor, cell, box)) in enumerate(zip(raw, self.loss.matches(raw, targets), strict=True)):
            place = targets[index, 0].long(), anchor, cell[:, 1], cell[:, 0]
            wanted = torch.zeros(y.shape[:4])
            if len(index):
                chosen = y[place]
                overlap = ciou(self.loss.boxes(i, chosen, anchor), box)
                wanted[place] = overlap.detach().clamp(0)
                classes = one_hot(targets[index, 1].long(), chosen.shape[1] - 5).float()
                class_loss = binary_cross_entropy_with_logits(chosen[:, 5:], classes)
                total = total + torch.stack(((1 - overlap).mean(), torch.zeros(()), class_loss))
            object_loss = binary_cross_entropy_with_logits(y[..., 4], wanted) * self.loss.balance[i]
            total = total + torch.stack((torch.zeros(()), object_loss, torch.zeros(())))
        return (total * torch.tensor(self.loss.gains)).sum() * len(raw[0])

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the network, tensor by tensor."""
        self.updates += 1
        rate = DECAY * (1 - math.exp(-self.updates / TAU))
        new = self.model.state_dict()
        for key, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value *= rate
                value += (1 - rate) * new[key].detach()
