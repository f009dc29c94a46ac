"""The classic penalties of sparse training: an L1 pull on all gammas whose channels can go, once per optimizer step.

It acts after the optimizer's own step, on float32 weights, so that it means the same with every optimizer, batch size,
precision and number of processes. The pull is lr · sr / (1 − momentum): what a gradient of sr · sign(gamma) adds up to
under SGD with momentum; of Adam and AdamW beta1 stands for the momentum.
"""

from typing import Any

import torch

from models.yolo import DetectionModel
from utils.errors import InputError
from utils.pruning.channels.groups import trace_channels
from utils.pruning.scores.parameters import ChannelParameters
from utils.sparsity.schedules import SCHEDULES
from utils.training.logs.gamma import NEAR_ZERO
from utils.training.loop import Hook, Run


def pull(run: Run, sr: float) -> float:
    """Return by how much an L1 penalty of strength sr moves each gamma in this step."""
    group = run.optimizer.param_groups[0]
    momentum = group["momentum"] if "momentum" in group else group["betas"][0]
    return run.lr * sr / (1 - momentum)


class GammaHook(Hook):
    """What both ways share: the traced channels and their gammas."""

    def prepare(self, model: DetectionModel) -> None:
        """Trace the network; channels of frozen layers are left alone.

        Raises InputError when there is nothing to act on.
        """
        self.graph = trace_channels(model)
        trained = {name for name, module in model.named_modules() if all(p.requires_grad for p in module.parameters())}
        self.groups = [group for group in self.graph.free_groups if trained.issuperset(group.norms)]
        if not self.groups:
            raise InputError("--freeze leaves no channel that sparse training could act on")
        self.parameters = ChannelParameters(model, self.graph, self.groups)

    def start(self, run: Run) -> None:
        """Look at the weights where they are now: on another device, or in synchronised batch norms."""
        self.parameters = ChannelParameters(run.model, self.graph, self.groups)

    def share_near_zero(self) -> float:
        """Return the share of free gammas smaller than NEAR_ZERO."""
        gamma = self.parameters.gamma[self.parameters.free]
        return float((gamma.abs() < NEAR_ZERO).float().mean())


class GammaPenalty(GammaHook):
    """L1 on gamma, network slimming (Liu et al. 2017): the same strength sr for every channel that may go."""

    def __init__(
        self, sr: float, penalty: str = "subgradient", schedule: str = "constant", sr_beta: float = 0.0
    ) -> None:
        """Choose strength and kind of the step.

        Args:
            sr: strength on gamma.
            penalty: subgradient (sign), proximal (soft threshold, exact zeros), group (tied gammas die together).
            schedule: how the strength goes with the run, a name in SCHEDULES.
            sr_beta: strength on beta; of the group penalty, each beta by itself.
        """
        self.sr, self.penalty, self.schedule, self.sr_beta = sr, penalty, schedule, sr_beta

    def factor(self, run: Run) -> float:
        """Return the share of the strength that is in force."""
        return SCHEDULES[self.schedule](run.step / run.total_steps)

    def after_step(self, run: Run) -> None:
        """Pull gamma and beta of all free channels towards zero."""
        factor = self.factor(run)
        for name, strength in (("weight", self.sr * factor), ("bias", self.sr_beta * factor)):
            if strength:
                values = self.parameters.gather([getattr(norm, name) for norm in self.parameters.norms])
                self.parameters.write(name, self.shrunk(name, values, pull(run, strength)))

    def shrunk(self, name: str, values: torch.Tensor, amount: float) -> torch.Tensor:
        """Return the flat vector [P] of gammas ('weight') or betas ('bias') after one pull."""
        if self.penalty == "group" and name == "weight":
            return self.shrink_groups(values, amount)
        amounts = amount * self.parameters.free
        if self.penalty == "subgradient":
            return values - amounts * values.sign()
        return soft_threshold(values, amounts)

    def shrink_groups(self, gamma: torch.Tensor, amount: float) -> torch.Tensor:
        """Return gamma after the proximal step of the group lasso (Yuan & Lin 2006): each channel's vector shrinks."""
        squares = self.parameters.per_channel(gamma**2)
        sizes = self.parameters.per_channel(torch.ones_like(gamma))
        factors = (1 - amount * sizes.sqrt() / squares.sqrt().clamp(min=1e-12)).clamp(min=0)
        return gamma * self.parameters.per_place(factors, 1.0)

    def after_epoch(self, run: Run) -> None:
        """Log the strength and what it reached."""
        run.log |= {"sparsity/sr": self.sr * self.factor(run), "sparsity/share_near_zero": self.share_near_zero()}


def soft_threshold(values: torch.Tensor, amount: Any) -> torch.Tensor:
    """Return values moved towards zero by amount, stopping there: the proximal operator of amount · |x|."""
    return values.sign() * (values.abs() - amount).clamp(min=0)
