"""Runs on synthetic batches, for the loop and what guards it."""

import torch

from utils.boxes.loss import DetectionLoss
from utils.files.paths import RunFolder
from utils.training.loop import fit
from utils.training.optim import Schedule, build_optimizer
from utils.training.run import Run, RunSettings

HYP = {"box": 0.05, "obj": 1.0, "cls": 0.5, "anchor_t": 4.0}
STEADY = Schedule(1000, 1, 64, 0.01, 1.0, 0.9, 0.0, 0.9, 0.01)


class Batches:
    """Stands for a DataLoader and its data set."""

    def __init__(self, batches):
        self.batches, self.dataset = batches, self
        self.epochs = []

    def __iter__(self):
        return iter(self.batches)

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


def batch(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=generator)
    rows = torch.rand(3 * count, 6, generator=generator) * 0.3 + 0.3
    rows[:, 0] = torch.arange(count).repeat_interleave(3)
    rows[:, 1] = torch.arange(3 * count) % 3
    return images, rows, ("x",) * count, None


def make_run(model, tmp_path, schedule=STEADY, **options):
    optimizer = build_optimizer(model, "SGD", schedule.lr0, schedule.momentum, 0.0)
    loss = DetectionLoss(model, HYP, 64)
    return Run(model, optimizer, loss, schedule, RunFolder(tmp_path), torch.device("cpu"), RunSettings(64, **options))


def train(run, batches, hooks=(), validate=lambda run: None):
    fit(run, Batches(batches), validate, list(hooks), lambda run, hooks: None)
