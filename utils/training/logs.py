"""Hooks that record a run: lines on the terminal, results.csv, pictures, TensorBoard."""

import csv
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from utils.files.atomic import write_atomically
from utils.pictures.drawing import as_detections, write_batch
from utils.pictures.plots import plot_labels, plot_results
from utils.training.gamma_log import NEAR_ZERO, batch_norm_weights, near_zero
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
PICTURES = 3  # training batches that are drawn
WIDTHS = {
    "epoch": 9,
    "box": 10,
    "obj": 10,
    "cls": 10,
    "instances": 11,
    "size": 7,
    "mAP50": 9,
    "mAP50-95": 10,
    "time": 9,
}
HEAD = "".join(f"{name:>{width}}" for name, width in WIDTHS.items())
BAR = "{desc} {n_fmt}/{total_fmt} {bar:12} {rate_fmt}"


class ProgressHook(Hook):
    """Shows one line an epoch: a bar on a terminal, plain text otherwise."""

    def __init__(self, stream: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        """stream: where to (default: standard error for the bar, standard output for text)."""
        self.clock = clock
        self.bar: Any = None
        self.terminal = (stream or sys.stderr).isatty()
        self.stream = stream

    def start(self, run: Run) -> None:
        """Write the head."""
        if not self.terminal:
            print(HEAD, file=self.stream, flush=True)

    def before_epoch(self, run: Run) -> None:
        """Open the bar."""
        self.began = self.clock()
        if self.terminal:
            tqdm.write(HEAD, file=self.stream)
            self.bar = tqdm(total=run.schedule.batches, file=self.stream, bar_format=BAR)

    def after_batch(self, run: Run, images: torch.Tensor, targets: torch.Tensor, paths: Sequence[str]) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.set_description_str(self.line(run), refresh=False)
            self.bar.update()

    def after_validation(self, run: Run) -> None:
        """Complete the line."""
        line = self.line(run, run.evaluation)
        if self.bar is None:
            print(line, file=self.stream, flush=True)
            return
        self.bar.set_description_str(line)
        self.bar.close()
        self.bar = None

    def line(self, run: Run, evaluation: Any = None) -> str:
        """Return the text of an epoch; the mAPs are - until it is validated."""
        losses = "".join(f"{value:10.4g}" for value in run.losses.tolist())
        scores = f"{'-':>9}{'-':>10}" if evaluation is None else f"{evaluation.map50:9.3g}{evaluation.map:10.3g}"
        batch = f"{run.batch.instances:11}{run.batch.size:7}"
        seconds = f"{self.clock() - self.began:.1f}s"
        return f"{f'{run.epoch}/{run.epochs - 1}':>9}{losses}{batch}{scores}{seconds:>9}"


class CsvHook(Hook):
    """Writes results.csv with the columns of the public YOLOv5, one row an epoch; nan where nothing was measured."""

    def start(self, run: Run) -> None:
        """Write the head, or drop the rows of epochs that a resumed run does again."""
        rows = []
        if run.epoch and run.folder.results_csv.is_file():
            with run.folder.results_csv.open(newline="", encoding="utf-8") as file:
                whole = [row for row in csv.reader(file) if len(row) == 1 + len(CSV_COLUMNS)]  # a torn one is not
            rows = [row for row in whole[1:] if int(row[0]) < run.epoch]
        head = [f"{name:>20}" for name in ("epoch", *CSV_COLUMNS)]
        text = "".join(",".join(row) + "\n" for row in (head, *rows))
        write_atomically(run.folder.results_csv, text.encode())

    def after_validation(self, run: Run) -> None:
        """Add the row of the epoch."""
        values = [run.epoch, *(run.log.get(name, math.nan) for name in CSV_COLUMNS)]
        with run.folder.results_csv.open("a", encoding="utf-8") as file:
            file.write(",".join(f"{value:>20.5g}" for value in values) + "\n")


class PictureHook(Hook):
    """Draws the spread of the labels, the first training batches, and the course of the run."""

    def __init__(self, labels: Sequence[np.ndarray], names: dict[int, str]) -> None:
        """labels: arrays [n, 5] class, normalised xywh, one per image; names: class index → name."""
        self.labels, self.names = labels, names

    def start(self, run: Run) -> None:
        """Draw the labels."""
        if not run.epoch:
            plot_labels(run.folder.labels_jpg, self.labels, self.names)

    def after_batch(self, run: Run, images: torch.Tensor, targets: torch.Tensor, paths: Sequence[str]) -> None:
        """Draw the first batches."""
        if not run.epoch and run.batch.index < PICTURES:
            boxes = as_detections(targets, len(images), images.shape[2:])
            write_batch(run.folder.train_batch(run.batch.index), images, boxes, paths, self.names, scores=False)

    def finish(self, run: Run) -> None:
        """Draw results.csv."""
        plot_results(run.folder.results_csv, run.folder.results_png)


class TensorBoardHook(Hook):
    """Writes the numbers of run.log and batch norm weights (gammas, which sparse training shrinks) of each epoch."""

    def __init__(self, writer: Callable[..., Any]) -> None:
        """writer: callable(folder, first epoch) → torch.utils.tensorboard.SummaryWriter."""
        self.make_writer = writer

    def start(self, run: Run) -> None:
        """Open the file."""
        self.writer = self.make_writer(run.folder.path, run.epoch)

    def after_validation(self, run: Run) -> None:
        """Write the numbers and the histograms."""
        for name, value in run.log.items():
            self.writer.add_scalar(name, value, run.epoch)
        gammas = batch_norm_weights(run.model)
        for name, gamma in gammas.items():
            self.writer.add_histogram(f"bn/{name}", gamma, run.epoch)
        if gammas:
            everything = torch.cat(list(gammas.values()))
            self.writer.add_histogram("bn/all", everything, run.epoch)
            self.writer.add_scalar(f"bn/share_below_{NEAR_ZERO:g}", near_zero(everything), run.epoch)
        self.writer.flush()

    def finish(self, run: Run) -> None:
        """Close the file."""
        self.writer.close()


def summary_writer(folder: Path, first_epoch: int) -> Any:
    """Return a SummaryWriter for a folder that hides what an interrupted run wrote of first_epoch and later."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_epoch or None)
