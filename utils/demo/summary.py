"""What pruning did, as pictures: channels per layer, gammas, detections side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.yolo import DetectionModel
from utils.pictures.drawing import draw_detections
from utils.pictures.figures import write_figure
from utils.pruning.structure.branches import channels_of

DENSE, PRUNED = "#c7ccd4", "#1f6feb"


def draw_channels(axes: Any, graph: Any, before: DetectionModel, after: DetectionModel) -> None:
    """Draw the output channels of every convolution of two networks as bars, the narrower one in front."""
    names = [layer.name for layer in graph.layers.values() if layer.is_conv]
    wide, narrow = ([channels_of(model, name) for name in names] for model in (before, after))
    places = np.arange(len(names))
    axes.bar(places, wide, color=DENSE, width=0.9, label="before")
    axes.bar(places, narrow, color=PRUNED, width=0.9, label="after")
    axes.set_xticks(
        places, [name.removeprefix("model.").removesuffix(".conv") for name in names], rotation=90, fontsize=6
    )
    axes.set_xlim(-1, len(names))
    axes.set_ylabel("output channels")
    axes.set_title("Channels per convolution, before and after pruning")
    axes.legend(frameon=False)


def draw_gammas(axes: Any, before: np.ndarray, after: np.ndarray) -> None:
    """Draw the histograms of |gamma| [P] before and after sparse training."""
    values = [np.abs(v) for v in (before, after)]
    bins = np.linspace(0, max(v.max() for v in values), 60)
    for value, colour, label in zip(values, (DENSE, PRUNED), ("before", "after")):
        axes.hist(value, bins, color=colour, alpha=0.85, label=f"{label} sparse training")
    axes.set_xlabel("|gamma|")
    axes.set_ylabel("channels")
    axes.set_title("Batch norm weights")
    axes.legend(frameon=False)


def draw_detections_beside(
    axes: Any, images: Sequence[np.ndarray], detections: Sequence[torch.Tensor], names: dict[int, str]
) -> None:
    """Draw images [H, W, 3] BGR with their detections [n, 6] (xyxy in pixels, score, class) in a row, legibly enlarged.

    axes: one per image.
    """
    for ax, image, found in zip(axes, images, detections):
        factor = max(1, round(480 / max(image.shape[:2])))
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        found = found.clone()
        found[:, :4] *= factor
        ax.imshow(cv2.cvtColor(draw_detections(image, found, names), cv2.COLOR_BGR2RGB))
        ax.set_axis_off()


def save_summary(file: Path, cut: Any, gammas: Any, samples: Any, names: dict[int, str]) -> None:
    """Write one picture: channels per layer, gamma histograms, sample detections of the dense and the pruned network.

    Args:
        file: path of the picture.
        cut: utils.pruning.prune.Cut.
        gammas: (before, after) sparse training, flat arrays.
        samples: (images [H, W, 3] BGR, their detections by the dense network, and by the pruned one), three lists.
        names: class index → name.
    """
    figure = Figure(figsize=(14, 12), layout="constrained")
    FigureCanvasAgg(figure)
    images, *found = samples
    halves: Any = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    top, bottom = halves
    channels, histogram = top.subplots(1, 2, width_ratios=(2.2, 1))
    draw_channels(channels, cut.graph, cut.before, cut.after)
    draw_gammas(histogram, *gammas)
    rows = bottom.subplots(2, len(images), squeeze=False)
    for axes, detections, title in zip(rows, found, ("dense", "pruned and fine-tuned")):
        draw_detections_beside(axes, images, detections, names)
        axes[0].set_title(title, loc="left")
    write_figure(file, figure, dpi=90)
