"""Which layers of a network stay as they are (--freeze), and how they are kept so."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from models.common import Conv
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.training.loop import Hook, Run


def frozen_layers(numbers: Sequence[int], count: int) -> list[int]:
    """Return the layer indices that --freeze means: [10] the first ten, [0, 3, 5] those; of `count` layers.

    Raises InputError for a layer that does not exist and when none is left to train.
    """
    layers = sorted(set(numbers if len(numbers) > 1 else range(numbers[0])))
    given = " ".join(map(str, numbers))
    if layers and not 0 <= layers[0] <= layers[-1] < count:
        raise InputError(f"--freeze {given}: the network has layers 0 to {count - 1}")
    if len(layers) == count:
        raise InputError(f"--freeze {given}: no layer is left to train")
    return layers


class FreezeHook(Hook):
    """Keeps layers as they are: no gradients (at once, so that no optimizer takes them up), evaluation mode.

    While the run lasts, their Conv blocks compute with the batch norm folded in: the same numbers in two thirds of
    the time.
    """

    def __init__(self, model: DetectionModel, layers: Sequence[int]) -> None:
        """model: DetectionModel; layers: indices."""
        self.layers = [model.model[i] for i in layers]
        for layer in self.layers:
            layer.requires_grad_(False)

    def start(self, run: Run) -> None:
        """Fold."""
        for block in self.blocks():
            folded = nn.utils.fuse_conv_bn_eval(block.conv.eval(), block.bn.eval())
            block.forward = partial(activated, folded, block.act)

    def before_epoch(self, run: Run) -> None:
        """Undo the training mode of the frozen layers."""
        for layer in self.layers:
            layer.eval()

    def finish(self, run: Run) -> None:
        """Let the blocks compute with their own batch norms again."""
        for block in self.blocks():
            del block.forward

    def blocks(self) -> list[Any]:
        """Return the Conv blocks with a batch norm in the frozen layers."""
        modules = [module for layer in self.layers for module in layer.modules()]
        return [module for module in modules if isinstance(module, Conv) and "bn" in module._modules]


def activated(conv: nn.Module, act: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return act(conv(x))."""
    return act(conv(x))
