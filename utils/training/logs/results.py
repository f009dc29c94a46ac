"""The table and the pictures of a run."""

import csv
import math
from collections.abc import Sequence

import numpy as np
import torch

from utils.files.atomic import dispensable, write_atomically
from utils.pictures.drawing import as_detections, write_batch
from utils.pictures.plots import plot_correlogram, plot_labels, plot_results
from utils.training.loop import Hook, Run

CSV_COLUMNS = (
    "train/box_loss",
    "train/obj_loss",
    "train/cls_loss",
    "metrics/precision",
    "metrics/recall",
    "metrics/mAP_0.5",
    "metrics/mAP_0.5:0.95",
    "val/box_loss",
    "val/obj_loss",
    "val/cls_loss",
    "x/lr0",
    "x/lr1",
    "x/lr2",
)
VALIDATED = "metrics and val: the moving average of the weights after each epoch, no channel masked"
PICTURES = 3  # training batches that are drawn


class CsvHook(Hook):
    """Writes results.csv with the columns of the public YOLOv5, one row an epoch; nan where nothing was measured."""

    def start(self, run: Run) -> None:
        """Write the head, or drop the rows of epochs that a resumed run does again."""
        self.rows = []
        if run.epoch and run.folder.results_csv.is_file():
            with run.folder.results_csv.open(newline="", encoding="utf-8") as file:
                whole = [row for row in csv.reader(file) if len(row) == 1 + len(CSV_COLUMNS)]  # a torn one is not
            self.rows = [row for row in whole[1:] if int(row[0]) < run.epoch]
        self.write(run)

    def after_validation(self, run: Run) -> None:
        """Add the row of the epoch."""
        values = [run.epoch, *(run.log.get(name, math.nan) for name in CSV_COLUMNS)]
        self.rows.append([f"{value:>20.5g}" for value in values])
        self.write(run)

    def write(self, run: Run) -> None:
        """Write the head and all rows."""
        head = [f"{name:>20}" for name in ("epoch", *CSV_COLUMNS)]
        text = "".join(",".join(row) + "\n" for row in (head, *self.rows))
        write_atomically(run.folder.results_csv, text.encode())


class PictureHook(Hook):
    """Draws the spread of the labels, the first training batches, and the course of the run."""

    def __init__(self, labels: Sequence[np.ndarray], names: dict[int, str]) -> None:
        """labels: arrays [n, 5] class, normalised xywh, one per image; names: class index → name."""
        self.labels, self.names = labels, names

    def start(self, run: Run) -> None:
        """Draw the labels."""
        if not run.epoch:
            with dispensable(run.folder.labels_jpg):
                plot_labels(run.folder.labels_jpg, self.labels, self.names)
            with dispensable(run.folder.labels_correlogram):
                plot_correlogram(run.folder.labels_correlogram, self.labels)

    def after_batch(self, run: Run, images: torch.Tensor, targets: torch.Tensor, paths: Sequence[str]) -> None:
        """Draw the first batches."""
        if not run.epoch and run.batch.index < PICTURES:
            boxes = as_detections(targets, len(images), images.shape[2:])
            file = run.folder.train_batch(run.batch.index)
            with dispensable(file):
                write_batch(file, images, boxes, paths, self.names, scores=False)

    def finish(self, run: Run) -> None:
        """Draw results.csv."""
        with dispensable(run.folder.results_png):
            plot_results(run.folder.results_csv, run.folder.results_png, VALIDATED)
