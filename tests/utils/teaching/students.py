"""Networks, cells, gains and short runs that the tests of teaching share."""

import math
from copy import deepcopy
from types import SimpleNamespace

import torch

from models.yolo import DetectionModel
from utils.boxes.loss import DetectionLoss
from utils.files.paths import RunFolder
from utils.training.loop import fit
from utils.training.optim import Schedule, build_optimizer
from utils.training.run import Run, RunSettings

CPU = torch.device("cpu")
HYP = {"box": 0.05, "obj": 1.0, "cls": 0.5, "anchor_t": 4.0}


def logit(p):
    return math.log(p / (1 - p))


def one_cell(*values, nc=2):
    """Return the loss of a network with one anchor of one cell's size, in a picture of one cell, and its raw output."""
    detect = SimpleNamespace(nl=1, na=1, nc=nc, anchors=torch.ones(1, 1, 2))
    return DetectionLoss(SimpleNamespace(model=[detect]), HYP), [torch.tensor(values).view(1, 1, 1, 1, 5 + nc)]


def stirred(model, seed=0):
    """Return a copy whose every number is a little different, and which sees something in every cell."""
    model, generator = deepcopy(model), torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) * 0.2
    for conv in model.model[-1].m:
        conv.bias.data.view(model.model[-1].na, -1)[:, 4] = -1
    return model


def wide_config(config):
    return {**config, "width_multiple": 0.25}


# --- the losses by hand


def named(config, *names):
    model = DetectionModel({**config, "nc": len(names)})
    model.names = dict(enumerate(names))
    return model


class Batches(list):
    def set_epoch(self, epoch):
        pass


def make_run(model, images, epochs=150, amp=None):
    rows = torch.tensor([[i, 0, 0.5, 0.5, 0.3, 0.3] for i in range(len(images))])
    schedule = Schedule(epochs, 1, 64, 0.01, 1.0, 0.9, 0.0, 0.9, 0.01)
    loader = Batches([(images, rows, ("x",) * len(images), None)])
    loader.dataset = loader
    run = Run(
        model,
        build_optimizer(model, "SGD", 0.01, 0.9, 0.0),
        DetectionLoss(model, HYP, 64),
        schedule,
        RunFolder(None),
        CPU,
        RunSettings(64, amp=amp),
    )
    return run, loader


def train_on(run, loader, *hooks):
    for hook in hooks:
        hook.prepare(run.model)
    fit(run, loader, lambda run: None, list(hooks), lambda run, hooks: None)
