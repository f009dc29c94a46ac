"""Anchors that fit the labels: the check before training, and a search for better ones."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from models.yolo import DetectionModel

ENOUGH = 0.98  # best possible recall that keeps the anchors
GENERATIONS = 1000
SMALLEST = 2.0  # px; smaller boxes do not take part in the search
JITTER = 0.1  # training draws sizes around that of the image


class Labelled(Protocol):
    """What is asked of a data set: utils.data.dataset.DetectionDataset has it."""

    shapes: np.ndarray  # [images, 2] width and height in pixels
    labels: list[np.ndarray]  # [m, 5] each: class, cx, cy, w, h as shares of the image


def box_sizes(shapes: np.ndarray, labels: list[np.ndarray], imgsz: int) -> np.ndarray:
    """Return width and height [n, 2] in pixels of all labels when the images' long side is imgsz.

    shapes: [images, 2] width and height; labels: one array [m, 5] of class, cx, cy, w, h normalised per image.
    """
    fitted = imgsz * shapes / shapes.max(1, keepdims=True)
    sizes = [rows[:, 3:5] * shape for rows, shape in zip(labels, fitted)]
    return np.concatenate(sizes) if sizes else np.zeros((0, 2))


def label_sizes(dataset: Labelled, imgsz: int, rng: np.random.Generator) -> np.ndarray:
    """Return width and height [n, 2] in pixels of all labels, images resized to imgsz and then a little up or down."""
    sizes = box_sizes(dataset.shapes, dataset.labels, imgsz)
    return sizes * rng.uniform(1 - JITTER, 1 + JITTER, (len(sizes), 1))


def worst_ratios(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return how well each size [n, 2] agrees with each anchor [k, 2]: [n, k], of the worse side, 1 is perfect."""
    ratio = sizes[:, None] / anchors[None]
    return np.minimum(ratio, 1 / ratio).min(2)


def best_possible_recall(sizes: np.ndarray, anchors: np.ndarray, anchor_t: float) -> tuple[float, float]:
    """Return (share of sizes [n, 2] that some anchor [k, 2] may predict, mean number of such anchors)."""
    agree = worst_ratios(sizes, anchors) > 1 / anchor_t
    return float(agree.any(1).mean()), float(agree.sum(1).mean())


def anchor_fitness(sizes: np.ndarray, anchors: np.ndarray, anchor_t: float) -> float:
    """Return the mean agreement of each size with its best anchor, counted where it suffices for a match."""
    best = worst_ratios(sizes, anchors).max(1)
    return float((best * (best > 1 / anchor_t)).mean())


def k_means(points: np.ndarray, k: int, rng: np.random.Generator, rounds: int = 30) -> np.ndarray:
    """Return k cluster centres [k, d] of points [n, d] (Lloyd's algorithm), n at least k."""
    centres = points[rng.choice(len(points), k, replace=False)]
    for _ in range(rounds):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(2).argmin(1)
        centres = np.stack([points[nearest == i].mean(0) if (nearest == i).any() else centres[i] for i in range(k)])
    return centres


def evolve(
    sizes: np.ndarray, anchors: np.ndarray, anchor_t: float, rng: np.random.Generator, generations: int = GENERATIONS
) -> np.ndarray:
    """Return anchors [k, 2] after random mutations of which the better ones stay."""
    best = anchor_fitness(sizes, anchors, anchor_t)
    for _ in range(generations):
        mutated = rng.random(anchors.shape) < 0.9
        factor = 1 + mutated * rng.random() * rng.normal(0, 0.1, anchors.shape)
        candidate = (anchors * factor.clip(0.3, 3)).clip(SMALLEST)
        fitness = anchor_fitness(sizes, candidate, anchor_t)
        if fitness > best:
            best, anchors = fitness, candidate
    return anchors


def search_anchors(
    sizes: np.ndarray, k: int, anchor_t: float, rng: np.random.Generator, generations: int = GENERATIONS
) -> np.ndarray | None:
    """Return k anchors [k, 2] for sizes [n, 2], smallest area first; None when there are fewer usable sizes than k."""
    usable = sizes[(sizes >= SMALLEST).any(1)]
    if len(usable) < k:
        return None
    spread = usable.std(0) + 1e-9
    anchors = k_means(usable / spread, k, rng) * spread
    anchors = evolve(usable, anchors.clip(SMALLEST), anchor_t, rng, generations)
    return anchors[anchors.prod(1).argsort()]


def check_anchors(
    model: DetectionModel,
    dataset: Labelled,
    imgsz: int,
    anchor_t: float,
    rng: np.random.Generator,
    say: Callable[[str], Any] = print,
    keep: bool = False,
) -> None:
    """Replace the anchors of a DetectionModel, in place, when too few labels can be predicted with them.

    Args:
        dataset: DetectionDataset.
        imgsz: in pixels.
        rng: draws sizes around it, and the search.
        say: takes a line for the user.
        keep: only say how well they fit: the boxes of a trained Detect mean something with its own alone.
    """
    detect = model.model[-1]
    strides = detect.stride.view(-1, 1, 1)
    sizes = label_sizes(dataset, imgsz, rng)
    sizes = sizes[(sizes > 0).all(1)]
    if not len(sizes):
        return
    recall, matches = best_possible_recall(sizes, (detect.anchors * strides).view(-1, 2).numpy(), anchor_t)
    if recall > ENOUGH:
        say(f"anchors: {matches:.2f} per label, best possible recall {recall:.4f}; they stay")
        return
    if keep:
        say(f"anchors: best possible recall {recall:.4f}; they stay, because the network was trained with them")
        return
    found = search_anchors(sizes, detect.nl * detect.na, anchor_t, rng)
    improved = best_possible_recall(sizes, found, anchor_t)[0] if found is not None else 0.0
    if found is None or improved <= recall:
        say(f"anchors: best possible recall {recall:.4f}, and no better ones were found; they stay")
        return
    order = detect.stride.argsort()  # small anchors belong to small strides
    anchors = torch.empty_like(detect.anchors)
    anchors[order] = torch.tensor(found, dtype=anchors.dtype).view_as(anchors)
    # Rounded as a finished checkpoint stores them, so that training sees what will be used.
    detect.anchors[:] = (anchors / strides).half().float()
    say(f"anchors: best possible recall {recall:.4f} → {improved:.4f} with {found.round().astype(int).tolist()} px")
