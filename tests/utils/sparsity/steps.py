"""A small network and optimizer steps for the tests of sparse training."""

from types import SimpleNamespace

import torch
from torch import nn

from models.common import Bottleneck, Conv
from utils.training.distributed import ProcessGroup
from utils.training.optim import ModelEMA, build_optimizer
from utils.training.run import RunSettings

LR, MOMENTUM = 0.01, 0.9


def network():
    return nn.Sequential(Conv(3, 16), Bottleneck(16, 16), Conv(16, 16), nn.Conv2d(16, 2, 1))


def make_run(model, name="SGD", total_steps=10):
    return SimpleNamespace(
        model=model,
        optimizer=build_optimizer(model, name, LR, MOMENTUM, 0.0),
        lr=LR,
        ema=ModelEMA(model),
        step=0,
        total_steps=total_steps,
        log={},
        processes=ProcessGroup(),
        evaluation=None,
        epoch=0,
        written=set(),
        settings=RunSettings(64),
    )


def step(run, hook, gradient=0.0):
    """One optimizer step with the same gradient everywhere."""
    for parameter in run.model.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    hook.before_step(run)
    run.optimizer.step()
    run.step += 1
    hook.after_step(run)
    run.ema.update(run.model)


def start(hook, run):
    hook.prepare(run.model)
    hook.start(run)
    return hook
