"""Optimizers, the plan of learning rates and accumulation, and the moving average of the weights."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

NOMINAL_BATCH = 64  # images per optimizer step that the hyp files were tuned for
WARMUP_ITERATIONS = 100  # at least
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def accumulation(batch_size: int, nominal_batch: int = NOMINAL_BATCH) -> int:
    """Return how many batches make one optimizer step of about `nominal_batch` images."""
    return max(round(nominal_batch / batch_size), 1)


def scaled_decay(weight_decay: float, batch_size: int, nominal_batch: int = NOMINAL_BATCH) -> float:
    """Return the weight decay for the images that one optimizer step really sees."""
    return weight_decay * batch_size * accumulation(batch_size, nominal_batch) / NOMINAL_BATCH


def build_optimizer(
    model: nn.Module, name: str, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return an optimizer over the parameters of `model` that want gradients.

    Groups, in this order: 0 biases, 1 weights, with decay, 2 weights of batch norms. Adam's beta1 is `momentum`.
    """
    biases: list[nn.Parameter] = []
    weights: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    for module in model.modules():
        for key, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                is_norm = isinstance(module, BATCH_NORMS)
                (biases if key == "bias" else norms if is_norm else weights).append(parameter)
    groups = [
        {"params": biases, "weight_decay": 0.0},
        {"params": weights, "weight_decay": weight_decay},
        {"params": norms, "weight_decay": 0.0},
    ]
    if name == "SGD":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True)
    kind = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[name]
    return kind(groups, lr=lr, betas=(momentum, 0.999), fused=True)  # a third of the time on a CPU


def lr_factor(epochs: int, lrf: float, cos: bool = False) -> Callable[[float], float]:
    """Return the function epoch → factor of the learning rate, from 1 to lrf: linear, or half a cosine."""
    if cos:
        return lambda epoch: lrf + (1 - lrf) * (1 + math.cos(math.pi * epoch / epochs)) / 2
    return lambda epoch: lrf + (1 - lrf) * (1 - epoch / epochs)


def ramp(position: float, length: float, start: float, end: float) -> float:
    """Return the value at `position` of a straight line from start (at 0) to end (at `length` and behind it)."""
    return end if position >= length else start + (end - start) * position / length


@dataclass(frozen=True)
class Schedule:
    """How a run goes through its iterations (batches, counted over the whole run): pure arithmetic."""

    epochs: int
    batches: int  # per epoch
    batch_size: int  # images per iteration, all processes together
    lr0: float
    lrf: float
    momentum: float
    warmup_epochs: float
    warmup_momentum: float
    warmup_bias_lr: float
    cos_lr: bool = False
    nominal_batch: int = NOMINAL_BATCH  # images per optimizer step, where a batch has not more

    @classmethod
    def of(
        cls,
        hyp: Mapping[str, Any],
        epochs: int,
        batches: int,
        batch_size: int,
        nominal_batch: int = NOMINAL_BATCH,
        cos_lr: bool = False,
    ) -> "Schedule":
        """Return the Schedule of a run with these hyper-parameters."""
        names = ("lr0", "lrf", "momentum", "warmup_epochs", "warmup_momentum", "warmup_bias_lr")
        rates = {name: hyp[name] for name in names}
        return cls(epochs, batches, batch_size, **rates, cos_lr=cos_lr, nominal_batch=nominal_batch)

    @property
    def warmup(self) -> int:
        """Iterations of warm-up."""
        return max(round(self.warmup_epochs * self.batches), WARMUP_ITERATIONS)

    def accumulate(self, iteration: int) -> int:
        """Return how many batches an optimizer step waits for: from 1 to the nominal batch during the warm-up."""
        full = self.nominal_batch / self.batch_size
        if iteration > self.warmup:
            return accumulation(self.batch_size, self.nominal_batch)
        return max(round(ramp(iteration, self.warmup, 1.0, full)), 1)

    def learning_rates(self, iteration: int) -> Any:
        """Return the learning rates of the optimizer's groups (biases, weights, batch norm weights)."""
        rate = self.lr0 * lr_factor(self.epochs, self.lrf, self.cos_lr)(iteration // self.batches)
        weights = ramp(iteration, self.warmup, 0.0, rate)
        return ramp(iteration, self.warmup, self.warmup_bias_lr, rate), weights, weights

    def momentum_at(self, iteration: int) -> float:
        """Return the momentum."""
        return ramp(iteration, self.warmup, self.warmup_momentum, self.momentum)

    def steps_in(self, epoch: int) -> list[int]:
        """Return the iterations (within the epoch) after which the optimizer steps; always after the last one."""
        waiting, steps = 0, []
        for i in range(self.batches):
            waiting += 1
            if waiting >= self.accumulate(epoch * self.batches + i) or i == self.batches - 1:
                steps.append(i)
                waiting = 0
        return steps

    def steps_per_epoch(self) -> tuple[list[int], int]:
        """Return (optimizer steps in each epoch of the warm-up, a list; in every later one)."""
        warm = min(self.warmup // self.batches + 1, self.epochs)
        later = math.ceil(self.batches / accumulation(self.batch_size, self.nominal_batch))
        return [len(self.steps_in(epoch)) for epoch in range(warm)], later

    def total_steps(self) -> int:
        """Return the optimizer steps of the whole run."""
        warm, later = self.steps_per_epoch()
        return sum(warm) + (self.epochs - len(warm)) * later

    def epoch_of(self, step: int) -> int:
        """Return the epoch in which the optimizer does a step of the run; both are counted from 0."""
        warm, later = self.steps_per_epoch()
        for epoch, steps in enumerate(warm):
            if step < steps:
                return epoch
            step -= steps
        return len(warm) + step // later


class ModelEMA:
    """Exponential moving average of a model's floating-point state (Polyak 1992); young averages follow faster."""

    def __init__(self, model: Any, decay: float = 0.9999, tau: int = 2000, updates: int = 0) -> None:
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.decay, self.tau, self.updates = decay, tau, updates

    def rate(self) -> float:
        """Return the share of the old average that an update keeps: decay · (1 − exp(−updates / tau))."""
        return self.decay * (1 - math.exp(-self.updates / self.tau))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the state of `model`."""
        self.updates += 1
        new = model.state_dict()
        pairs = [(v, new[k]) for k, v in self.model.state_dict().items() if v.dtype.is_floating_point]
        average, current = (list(values) for values in zip(*pairs))
        torch._foreach_lerp_(average, current, 1 - self.rate())
