"""What a sparse training is to reach: a share of the channels, of the FLOPs or of the time."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.yolo import DetectionModel
from utils.benchmark.options import RUNTIMES
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.choice.costs import ChannelCost, NetworkCost
from utils.pruning.choice.milliseconds import Rates, fit_rates
from utils.sparsity.options import FLAGS


@dataclass
class Goal:
    """What --sr auto drives a run to."""

    kind: str  # channels: `share` of them goes; FLOPs, time: `share` of them is left
    share: float
    image_size: int = 640  # side in pixels, for time
    runtime: str = RUNTIMES[-1]  # that the time is measured in
    rates: Rates | None = None  # of this machine; measured when time is first asked for

    @property
    def left(self) -> float:
        """Share of the cost that is left."""
        return 1 - self.share if self.kind == "channels" else self.share

    @property
    def flag(self) -> str:
        """The flag of train_sparsity.py that asks for it."""
        return f"{FLAGS[self.kind]} {self.share:g}"

    def cut(self, share: float) -> str:
        """Return the flag with which prune.py cuts what such a run has silenced: `share` of the channels."""
        if self.kind == "time":
            return f"--percent {share:.4f}"
        return f"{'--flops' if self.kind == 'FLOPs' else '--percent'} {self.share:g}"

    def cost(self, graph: ChannelGraph, model: DetectionModel) -> Any:
        """Return the cost (see costs.py) that the goal is a share of."""
        if self.kind == "time":
            self.rates = self.rates or fit_rates(
                graph, model, model.fitting_size(self.image_size), self.runtime, np.random.default_rng(0)
            )
            return self.rates.cost(graph, model)
        return NetworkCost.flops(graph, model) if self.kind == "FLOPs" else ChannelCost(graph.channel_counts())
