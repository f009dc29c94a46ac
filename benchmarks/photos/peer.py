"""A detector cut by torch-pruning (PyPI): every layer by the same ratio, the channels of the smallest weights first."""

from copy import deepcopy
from typing import Any

import torch

from models.cost import count_gflops
from models.yolo import DetectionModel
from utils.pruning.choice.search import bisect

STEP = 0.002  # of the ratio, at which its search ends


def cut_evenly(peer: Any, model: DetectionModel, left: float, imgsz: int) -> DetectionModel:
    """Return a copy of a network, every layer of which is narrower by the same ratio.

    Args:
        peer: the module torch_pruning.
        model: the network, as load_checkpoint gives it.
        left: share of the FLOPs that stays; the least above it that the ratios reach.
        imgsz: side of the image in pixels that FLOPs are counted for.
    """
    size = model.fitting_size(imgsz)
    goal = left * count_gflops(model, size)

    def fits(ratio: float) -> bool:
        """Tell whether enough FLOPs stay."""
        return count_gflops(narrowed(peer, model, ratio, size), size) >= goal

    return narrowed(peer, model, bisect(fits, 0.0, 1.0, STEP), size)


def narrowed(peer: Any, model: DetectionModel, ratio: float, size: int) -> DetectionModel:
    """Return a copy of a network whose layers have lost a ratio of their channels each, Detect's outputs aside."""
    model = deepcopy(model)
    pruner = peer.pruner.MagnitudePruner(
        model,
        torch.zeros(1, 3, size, size),
        importance=peer.importance.GroupMagnitudeImportance(),
        pruning_ratio=ratio,
        ignored_layers=list(model.model[-1].m),
    )
    pruner.step()
    return model
