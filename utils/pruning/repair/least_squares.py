"""Least-squares reconstruction: convolutions get the weights that best give their old outputs from what is left.

After He, Zhang & Sun 2017 (channel pruning) and Luo et al. 2017 (ThiNet): the original and the narrow network run side
by side over calibration images, layer by layer; each convolution is fitted on what it really reads, errors of earlier
layers included.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from models.yolo import Detect, DetectionModel
from utils.pruning.channels.groups import ChannelGraph, traced_network
from utils.pruning.channels.rebuild import removed_labels
from utils.pruning.repair.constants import shift_output
from utils.pruning.scores.calibration import Calibration
from utils.validation.evaluate import evaluation_mode

SAMPLES = 20_000  # pixels that a layer is fitted on, but at least SAMPLES_PER_INPUT for each weight of a filter
SAMPLES_PER_INPUT = 8
RIDGE = 1e-3  # pull towards the old weights, as a share of the mean power of the inputs


@dataclass
class Pair:
    """What the original and the narrow network have at a node."""

    full: object
    narrow: object


class SideBySide(fx.Interpreter):
    """Runs two networks of one graph; convolutions of the narrow one are fitted, in place, as they are reached."""

    def __init__(
        self,
        origin: DetectionModel,
        model: DetectionModel,
        narrow: DetectionModel,
        graph: ChannelGraph,
        keep: Mapping[str, np.ndarray],
        generator: torch.Generator,
    ) -> None:
        """Take the networks.

        Args:
            origin: `model`, or that with the residual branches that were left out of it.
            narrow: what rebuild made of `model` with masks `keep`.
            generator: draws the pixels.
        """
        super().__init__(traced_network(model))
        self.full, self.narrow, self.channels, self.generator = origin, narrow, graph, generator
        self.removed = removed_labels(graph, keep)
        self.fitted: set[str] = set()

    def run_node(self, node: Any) -> Any:
        """Return the Pair of a node."""
        if node.op == "placeholder":
            value = super().run_node(node)
            return Pair(value, value)
        full, narrow = (pick(self.fetch_args_kwargs_from_env(node), side) for side in ("full", "narrow"))
        module = self.full.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(module, Detect):
            for i, conv in enumerate(module.m):
                self.fit(f"{node.target}.m.{i}", narrow[0][0][i], conv(full[0][0][i]))
            return Pair(None, None)
        value = self.compute(node, self.full, *full)
        if isinstance(module, nn.Conv2d):
            self.fit(node.target, narrow[0][0], value)
        return Pair(value, self.compute(node, self.narrow, *narrow))

    def compute(self, node: Any, network: Any, args: Any, kwargs: Any) -> Any:
        """Return the value of a node in one of the networks."""
        if node.op == "call_module":
            return network.get_submodule(node.target)(*args, **kwargs)
        if node.op == "get_attr":
            return operator.attrgetter(node.target)(network)
        return getattr(self, node.op)(node.target, args, kwargs)

    def fit(self, name: str, x: torch.Tensor, wanted: torch.Tensor) -> None:
        """Fit a convolution of the narrow network: it reads x [B, c_in, H, W], `wanted` is [B, c_out before, h, w]."""
        conv: Any = self.narrow.get_submodule(name)
        layer = self.channels.layers.get(name)
        if layer is None or conv.groups > 1 or name in self.fitted:
            return
        self.fitted.add(name)
        kept = torch.from_numpy(~np.isin(layer.outputs, self.removed))
        places = self.draw(wanted.shape, conv.weight[0].numel())
        image, row, column = places
        target = wanted[image, :, row, column][:, kept.to(wanted.device)]
        inputs = patches(conv, x, places)
        weights, offset = least_squares(
            inputs, target - (0 if conv.bias is None else conv.bias), conv.weight.flatten(1)
        )
        conv.weight.copy_(weights.view_as(conv.weight))
        shift_output(self.narrow, self.channels, self.removed, name, offset)

    def draw(self, shape: Any, inputs: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (image, row, column) of the pixels of an output map that a layer is fitted on, by inputs a filter."""
        batch, _, height, width = shape
        count = min(max(SAMPLES, SAMPLES_PER_INPUT * inputs), batch * height * width)
        index = torch.randperm(batch * height * width, generator=self.generator)[:count]
        return index // (height * width), index // width % height, index % width


def patches(conv: Any, x: torch.Tensor, places: Any) -> torch.Tensor:
    """Return [n, c_in · k · k]: what a convolution of x [B, c_in, H, W] reads for the output pixels `places`."""
    image, row, column = places
    height, width = conv.padding
    padded = functional.pad(x, (width, width, height, height)).permute(0, 2, 3, 1)
    taps = [
        padded[image, row * conv.stride[0] + i * conv.dilation[0], column * conv.stride[1] + j * conv.dilation[1]]
        for i in range(conv.kernel_size[0])
        for j in range(conv.kernel_size[1])
    ]
    return torch.stack(taps, 2).flatten(1)


def least_squares(
    inputs: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, ridge: float = RIDGE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (weights [o, d], offset [o]) with inputs · weightsᵀ + offset nearest to the target; given weights pull.

    inputs: [n, d]; target: [n, o]; weights: [o, d]; ridge: strength of the pull, a share of the mean power of the
    inputs.
    """
    centre, aim = inputs.mean(0), target.mean(0)
    centred = inputs - centre
    missing = target - aim - centred @ weights.T
    power = (centred.T @ centred).double() / len(inputs)
    pull = (
        ridge
        * power.diagonal().mean().clamp(min=1e-12)
        * torch.eye(len(power), dtype=torch.double, device=power.device)
    )
    change = torch.linalg.solve(power + pull, (centred.T @ missing).double() / len(inputs)).T
    weights = weights + change.to(weights)
    return weights, aim - weights @ centre


@torch.no_grad()
def reconstruct(
    narrow: DetectionModel,
    model: DetectionModel,
    graph: ChannelGraph,
    keep: Mapping[str, np.ndarray],
    calibration: Calibration,
    device: torch.device,
    generator: torch.Generator,
    origin: DetectionModel | None = None,
) -> None:
    """Fit all convolutions of a rebuilt network to the original on calibration images, in place.

    origin: `model`, of which `narrow` was rebuilt, with the residual branches that were left out of it.
    """
    origin = origin or model
    images = torch.cat([images for images, _ in calibration.batches(device)])
    with evaluation_mode(origin), evaluation_mode(narrow):
        SideBySide(origin, model, narrow, graph, keep, generator).run(images)


def pick(value: Any, side: Any) -> Any:
    """Return nested arguments with every Pair replaced by one of its sides."""
    return fx.node.map_aggregate(value, lambda v: getattr(v, side) if isinstance(v, Pair) else v)
