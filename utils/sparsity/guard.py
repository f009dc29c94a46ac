"""Sparse training that leaves alone the channels which are not clearly weaker than others of their layer."""

from typing import Any

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.pruning.choice.limits import Limits
from utils.pruning.scores.parameters import gamma_scores
from utils.sparsity.fading import FadeOut
from utils.sparsity.goal import Goal


class GuardedFadeOut(FadeOut):
    """FadeOut under a standard-deviation guard: only channels whose gamma was below mean − guard · deviation fade.

    Mean and deviation are those of the channel's group when the training began. The goal must be one that the rest of
    the channels can meet (planned_share sees to it); guarded ones go only when nothing else is left.
    """

    def __init__(self, goal: Goal, limits: Limits, guard: float, **others: Any) -> None:
        """guard: standard deviations, or None for no guard; goal, limits and others: as of FadeOut."""
        super().__init__(goal, limits, **others)
        self.guard = guard

    def prepare(self, model: DetectionModel) -> None:
        """Trace the network; check that the target can be reached; note which channels are guarded."""
        self.guarded = None
        super().prepare(model)
        if self.guard is None:
            return
        scores = gamma_scores(model, self.graph)
        bounds = {name: values.mean() - self.guard * values.std() for name, values in scores.items()}
        self.guarded = self.parameters.from_groups({n: np.asarray(v >= bounds[n]) for n, v in scores.items()})

    def choose(self) -> None:
        """Decide by the scores which channels are to go, the guarded ones last."""
        if self.guarded is None:  # no guard, or only a check of the target
            return super().choose()
        scores, self.scores = self.scores, torch.where(self.guarded.to(self.scores.device), torch.inf, self.scores)
        super().choose()
        self.scores = scores

    def state_dict(self) -> dict[str, Any]:
        """Return scores, choice and guarded channels."""
        return {**super().state_dict(), "guarded": self.guarded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what state_dict returned."""
        super().load_state_dict(state)
        self.guarded = state["guarded"]
