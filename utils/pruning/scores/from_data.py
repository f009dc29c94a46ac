"""Criteria that look at calibration images.

Each returns {group: [width] numpy}: a channel is judged with all that is tied to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.progress import track
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.channels.rebuild import masked
from utils.pruning.scores.calibration import Calibration
from utils.pruning.scores.parameters import ChannelParameters
from utils.validation.evaluate import evaluation_mode

ABLATION_DEPTHS = (0.25, 0.5, 0.75)  # shares of a group whose removal is measured


@dataclass(frozen=True)
class Evidence:
    """What a criterion measures on."""

    calibration: Calibration
    loss: Callable[..., tuple[torch.Tensor, Any]]  # (raw outputs, targets) → (scalar, parts), as DetectionLoss
    device: torch.device


def gate_slopes(
    model: DetectionModel, graph: ChannelGraph, evidence: Evidence
) -> tuple[ChannelParameters, torch.Tensor]:
    """Return [images, count] ∂loss/∂gate of a gate of size 1 on each channel of ChannelParameters and its ties.

    A gate multiplies gamma and beta; so its slope is Σ gamma · ∂gamma + beta · ∂beta over the batch norms of the
    channel.
    """
    parameters = ChannelParameters(model, graph)
    wanted = [getattr(norm, name) for name in ("weight", "bias") for norm in parameters.norms]
    required = [p.requires_grad for p in wanted]
    for p in wanted:
        p.requires_grad_(True)
    rows = []
    with evaluation_mode(model), torch.enable_grad():
        batches = evidence.calibration.batches(evidence.device, 1)
        for images, targets in track(batches, "scoring channels", len(evidence.calibration)):
            loss, _ = evidence.loss(model(images)[1], targets)
            products = [p * slope for p, slope in zip(wanted, torch.autograd.grad(loss, wanted))]
            half = len(products) // 2
            rows.append(
                parameters.per_channel(
                    (parameters.gather(products[:half]) + parameters.gather(products[half:])).double()
                )
            )
    for p, value in zip(wanted, required):
        p.requires_grad_(value)
    return parameters, torch.stack(rows)


def taylor(model: DetectionModel, graph: ChannelGraph, evidence: Evidence) -> dict[str, np.ndarray]:
    """Mean over images of |first-order change of the loss| when the channel goes (Molchanov et al. 2017)."""
    parameters, slopes = gate_slopes(model, graph, evidence)
    return parameters.by_group(slopes.abs().mean(0))


def fisher(model: DetectionModel, graph: ChannelGraph, evidence: Evidence) -> dict[str, np.ndarray]:
    """Half the mean square of that: the second-order change by the Fisher information (Theis et al. 2018).

    Tied channels share one gate (Liu et al. 2021).
    """
    parameters, slopes = gate_slopes(model, graph, evidence)
    return parameters.by_group(slopes.square().mean(0) / 2)


class InputStatistics:
    """Mean and mean square of every input channel of the convolutions that read several channels at once."""

    def __init__(self, model: DetectionModel, graph: ChannelGraph) -> None:
        """Listen to the model until `stop`."""
        self.sums: dict[str, Any] = {}
        self.handles = [
            model.get_submodule(layer.name).register_forward_pre_hook(
                lambda _, args, name=layer.name: self.add(name, args[0])
            )
            for layer in graph.layers.values()
            if layer.is_conv and not layer.depthwise
        ]

    def add(self, name: str, x: torch.Tensor) -> None:
        """Count a map [B, C, H, W]."""
        x = x.detach().float()
        count = x.numel() // x.shape[1]
        parts = count, x.mean((0, 2, 3)).double() * count, x.square().mean((0, 2, 3)).double() * count
        self.sums[name] = tuple(old + new for old, new in zip(self.sums.get(name, (0, 0, 0)), parts))

    def stop(self) -> Any:
        """Stop listening; return {convolution: (mean [c_in], mean square [c_in])}."""
        for handle in self.handles:
            handle.remove()
        return {name: (mean / count, square / count) for name, (count, mean, square) in self.sums.items()}


@torch.no_grad()
def input_statistics(model: DetectionModel, graph: ChannelGraph, calibration: Calibration, device: torch.device) -> Any:
    """Return {convolution: (mean [c_in], mean square [c_in])} of what each reads on the calibration images."""
    statistics = InputStatistics(model, graph)
    with evaluation_mode(model):
        for images, _ in calibration.batches(device):
            model(images)
    return statistics.stop()


@torch.no_grad()
def activation(model: DetectionModel, graph: ChannelGraph, evidence: Evidence) -> dict[str, np.ndarray]:
    """Energy that a channel brings into its consumers, as they pass it on behind their batch norms; their sum.

    It is the channel's variance over images and pixels (its mean can be put back, see repair/constants.py) times the
    squared weights that read it: the reconstruction error of ThiNet (Luo et al. 2017), correlations between channels
    left out.
    """
    scores = {group.name: np.zeros(group.width) for group in graph.free_groups}
    place = {label: (group.name, i) for group in graph.free_groups for i, label in enumerate(group.labels.tolist())}
    for name, (mean, square) in input_statistics(model, graph, evidence.calibration, evidence.device).items():
        conv: Any = model.get_submodule(name)
        if conv.groups > 1:
            continue
        weights = conv.weight.double() * scale_behind(model, graph, name, conv.out_channels).view(-1, 1, 1, 1)
        energy = ((square - mean**2).clamp(min=0) * weights.square().sum((0, 2, 3))).tolist()
        for label, value in zip(graph.layers[name].inputs.tolist(), energy):
            if label in place:
                group, index = place[label]
                scores[group][index] += value
    return scores


def scale_behind(model: DetectionModel, graph: ChannelGraph, name: str, width: int) -> torch.Tensor:
    """Return [width]: what the batch norm right behind a convolution multiplies its outputs by; 1 without one."""
    if name not in graph.behind:
        return model.get_parameter(f"{name}.weight").new_ones(width).double()
    norm_name, first = graph.behind[name]
    norm: Any = model.get_submodule(norm_name)
    return (norm.weight / (norm.running_var + norm.eps).sqrt())[first : first + width].double()


@torch.no_grad()
def mean_loss(model: DetectionModel, evidence: Evidence) -> float:
    """Return the mean detection loss of a model over the calibration images."""
    with evaluation_mode(model):
        total = sum(
            float(evidence.loss(model(images)[1], targets)[0])
            for images, targets in evidence.calibration.batches(evidence.device)
        )
    return total / len(evidence.calibration)


def ablation(model: DetectionModel, graph: ChannelGraph, evidence: Evidence) -> dict[str, np.ndarray]:
    """How much the loss really grows when parts of a group are silenced: the relevance of Mozer & Smolensky (1989).

    Measured at ABLATION_DEPTHS of each group, in the order of |gamma|; each rise is shared out among the channels of
    its step in proportion to |gamma|, and the channels beyond the last step are rated like those of the last.
    """
    parameters = ChannelParameters(model, graph)
    gammas = parameters.by_group(parameters.per_channel(parameters.gamma.abs()))
    whole, scores = mean_loss(model, evidence), {}
    for name, base in track(gammas.items(), "scoring channels", unit="groups"):
        order, weights = np.argsort(base, kind="stable"), np.maximum(base, 1e-12)
        scores[name] = np.zeros(len(base))
        start, reached = 0, 0.0
        for depth in ABLATION_DEPTHS:
            stop = round(depth * len(base))
            if stop <= start:
                continue
            keep = np.ones(len(base), dtype=bool)
            keep[order[:stop]] = False
            rise = mean_loss(masked(model, graph, {name: keep}), evidence) - whole
            step = max(rise - reached, 1e-6)
            part = order[start:stop]
            scores[name][part] = step * weights[part] / weights[part].sum()
            start, reached = stop, reached + step
        rest = order[start:]
        heaviest = order[start - 1] if start else order[-1]  # a group too small for any step is rated by |gamma| alone
        scores[name][rest] = (scores[name][heaviest] if start else 1.0) * weights[rest] / weights[heaviest]
    return scores


FROM_DATA = {"taylor": taylor, "fisher": fisher, "activation": activation, "ablation": ablation}  # names of --criterion
