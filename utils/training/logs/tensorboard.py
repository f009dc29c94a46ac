"""TensorBoard: the numbers of a run and its batch norm weights, epoch by epoch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from utils.training.logs.gamma import NEAR_ZERO, batch_norm_weights, near_zero
from utils.training.loop import Hook, Run


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
