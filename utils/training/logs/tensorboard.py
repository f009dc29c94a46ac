"""TensorBoard: the numbers of a run and its batch norm weights, epoch by epoch."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from models.yolo import DetectionModel
from utils.errors import readable
from utils.files.atomic import dispensable
from utils.training.logs.gamma import NEAR_ZERO, batch_norm_weights, near_zero
from utils.training.loop import Hook, Run

SIDES = 2  # strides: the side of the image that the graph is drawn for


class TensorBoardHook(Hook):
    """Writes the numbers of run.log and batch norm weights (gammas, which sparse training shrinks) of each epoch."""

    def __init__(self, writer: Callable[..., Any], graph: bool = False) -> None:
        """writer: callable(folder, first epoch) → torch.utils.tensorboard.SummaryWriter; graph: of the network too."""
        self.make_writer, self.graph = writer, graph

    def start(self, run: Run) -> None:
        """Open the file; at the beginning write the graph of the network."""
        self.writer, self.log = None, f"TensorBoard log in {run.folder.path}"
        with dispensable(self.log):
            self.writer = self.make_writer(run.folder.path, run.epoch)
            if self.graph and not run.epoch:
                write_graph(self.writer, run.ema.model)

    def after_validation(self, run: Run) -> None:
        """Write the numbers and the histograms; a log that could not be written is given up."""
        writer, self.writer = self.writer, None
        if writer:
            with dispensable(self.log):
                write_numbers(writer, run)
                self.writer = writer

    def finish(self, run: Run) -> None:
        """Close the file."""
        if self.writer:
            with dispensable(self.log):
                self.writer.close()


def write_numbers(writer: Any, run: Run) -> None:
    """Write the numbers of run.log and the histograms of the batch norm weights to a SummaryWriter. Raises OSError."""
    for name, value in run.log.items():
        writer.add_scalar(name, value, run.epoch)
    gammas = batch_norm_weights(run.model)
    for name, gamma in gammas.items():
        writer.add_histogram(f"bn/{name}", gamma, run.epoch)
    if gammas:
        everything = torch.cat(list(gammas.values()))
        writer.add_histogram("bn/all", everything, run.epoch)
        writer.add_scalar(f"bn/share_below_{NEAR_ZERO:g}", near_zero(everything), run.epoch)
    writer.flush()


def write_graph(writer: Any, model: DetectionModel) -> None:
    """Write the graph of a network, up to its raw outputs. Raises InputError when it cannot be traced."""
    copy = deepcopy(model).float().cpu().eval()
    copy.model[-1].train()  # decoding would fill the graph
    side = SIDES * copy.size_multiple
    images = torch.zeros(1, copy.yaml["ch"], side, side)
    with warnings.catch_warnings(), readable("TensorBoard log", "graph of the network"):
        warnings.simplefilter("ignore")  # shapes are meant to become constants; a successor is announced on every use
        writer.add_graph(torch.jit.trace(copy, images, strict=False, check_trace=False), [images])


def summary_writer(folder: Path, first_epoch: int) -> Any:
    """Return a SummaryWriter for a folder that hides what an interrupted run wrote of first_epoch and later."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_epoch or None)
