"""The batch norm weights (gammas) of a run: gamma.csv, and gamma.png, the ridge that sparse training moves to zero."""

import csv

import numpy as np
import torch
from torch import nn

from utils.files.atomic import dispensable, write_atomically
from utils.pictures.plots import plot_ridge
from utils.training.loop import Hook, Run
from utils.training.optim import BATCH_NORMS

NEAR_ZERO = 1e-3  # batch norm weights below this are counted as (almost) switched off
BINS = 60
HEADROOM = 1.25  # the histograms reach so far beyond the largest gamma of the first epoch


def batch_norm_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return {name of the batch norm: its weight (gamma) [C], without gradient, on the CPU}."""
    return {
        name: module.weight.detach().cpu()
        for name, module in model.named_modules()
        if isinstance(module, BATCH_NORMS) and module.weight is not None
    }


def near_zero(gammas: torch.Tensor) -> float:
    """Return the share of values smaller than NEAR_ZERO in magnitude."""
    return float((gammas.abs() < NEAR_ZERO).float().mean())


class GammaRecorder(Hook):
    """Counts |gamma| in bins after every epoch.

    gamma.csv: a row an epoch with the share below NEAR_ZERO, then the counts; a column's name is the lower edge of its
    bin, and the last bin also holds all that is above it. gamma.png is drawn from it.
    """

    def __init__(self, draw: bool = True) -> None:
        """draw: whether to draw gamma.png in the end."""
        self.draw = draw

    def start(self, run: Run) -> None:
        """Take over the rows of a resumed run's finished epochs."""
        self.edges, self.rows = None, []
        if run.epoch and run.folder.gamma_csv.is_file():
            rows = list(csv.reader(run.folder.gamma_csv.read_text(encoding="utf-8").splitlines()))
            self.edges = np.array(rows[0][2:], float)
            self.rows = [row for row in rows[1:] if int(row[0]) < run.epoch]

    def after_validation(self, run: Run) -> None:
        """Add the epoch and write all rows."""
        gammas = torch.cat([torch.zeros(0), *batch_norm_weights(run.model).values()]).abs()
        if not len(gammas):
            return
        if self.edges is None:
            self.edges = np.linspace(0, HEADROOM * max(float(gammas.max()), NEAR_ZERO), BINS, endpoint=False).round(5)
        places = np.searchsorted(self.edges, gammas.numpy(), side="right") - 1
        counts = np.bincount(places, minlength=BINS)
        self.rows.append([str(run.epoch), f"{near_zero(gammas):.5f}", *map(str, counts)])
        head = ["epoch", f"share_below_{NEAR_ZERO:g}", *map(str, self.edges)]
        text = "".join(",".join(row) + "\n" for row in (head, *self.rows))
        write_atomically(run.folder.gamma_csv, text.encode())

    def finish(self, run: Run) -> None:
        """Draw the ridge."""
        if self.draw and self.rows and self.edges is not None:
            table = np.array(self.rows, float)
            epochs, silent, counts = table[:, 0].astype(int), table[:, 1], table[:, 2:]
            with dispensable(run.folder.gamma_png):
                plot_ridge(run.folder.gamma_png, self.edges, epochs, counts, silent, NEAR_ZERO)
