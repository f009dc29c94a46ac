"""What pruning now would leave, during sparse training: size every epoch, masked accuracy every few."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.yolo import DetectionModel
from utils.files.checkpoint import finished_content
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import masked
from utils.pruning.choice.costs import ChannelCost, NetworkCost
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.selection import CEILING_SLACK, largest_share, select_by_cost, smallest
from utils.pruning.scores.parameters import ChannelParameters, gamma_scores
from utils.sparsity.goal import Goal
from utils.training.checkpoints import write_checkpoint
from utils.training.loop import Hook, Run
from utils.training.run import all_finite


class PreviewHook(Hook):
    """Tries the cut of a goal on the moving average, logs it, and keeps best_sparse.pt.

    best_sparse.pt is the network of the epoch with the best fitness after the cut, with the weights that were trained:
    no channel in it is at zero that did not get there. Its entry `cut` says what share of the channels goes in the cut,
    and what mAP is left then. Of epochs whose cut changes nothing the epoch's own evaluation counts; others are
    measured every `period` epochs. When the limits do not allow the goal, the deepest cut that they allow is tried.
    """

    def __init__(self, goal: Goal, period: int, limits: Limits = Limits()) -> None:
        """goal: utils.sparsity.goal.Goal; period: epochs, 0: measure none; limits: of the selection."""
        self.goal, self.period, self.limits = goal, period, limits
        self.best = 0.0  # fitness after the cut
        self.latest: Any = None  # (map50, map) after the cut

    def prepare(self, model: Any) -> None:
        """Trace the network and count what its layers cost."""
        self.graph = trace_channels(model)
        self.cost = self.goal.cost(self.graph, model)
        self.flops, self.sizes = NetworkCost.flops(self.graph, model), NetworkCost.parameters(self.graph, model)

    def start(self, run: Run) -> None:
        """Take the cost as it is agreed on: a resumed run keeps the times that it began with."""
        self.cost = self.goal.cost(self.graph, run.model)

    def choose(self, model: Any) -> Any:
        """Return (masks of the cut, largest mean |gamma| among the channels that go)."""
        scores = gamma_scores(model, self.graph)
        possible = largest_share(scores, self.cost, self.limits)
        if possible + CEILING_SLACK < 1 - self.goal.left:
            keep = smallest(scores, self.limits.on_blocks_of(self.cost))
        else:
            keep = select_by_cost(scores, self.cost, self.goal.left, self.limits)
        counts = self.graph.channel_counts()
        means = np.concatenate([(scores[name] / counts[name])[~mask] for name, mask in keep.items()])
        return keep, float(means.max(initial=0.0))

    def after_validation(self, run: Run) -> None:
        """Log the cut; measure it when it is due; keep it when it is the best."""
        model = run.ema.model
        keep, threshold = self.choose(model)
        run.log |= {
            "sparsity/threshold": threshold,
            "sparsity/share_dead": self.share_dead(model),
            "preview/parameters": self.sizes.of(keep),
            "preview/GFLOPs": self.flops.of(keep) / 1e9,
        }
        evaluation = self.evaluate(run, model, keep)
        if evaluation is None:
            return
        self.latest = evaluation.map50, evaluation.map
        run.log |= dict(zip(("preview/mAP_0.5", "preview/mAP_0.5:0.95"), self.latest))
        if evaluation.fitness >= self.best and all_finite(model):
            self.best = evaluation.fitness
            channels = ChannelCost(self.graph.channel_counts())
            cut = {"share": 1 - channels.of(keep) / channels.total, "map50": evaluation.map50, "map": evaluation.map}
            write_checkpoint(run, run.folder.best_sparse, finished_content(model, cut=cut))

    def evaluate(self, run: Run, model: DetectionModel, keep: Mapping[str, np.ndarray]) -> Any:
        """Return the Evaluation of the network with the cut's channels masked.

        None when it is not due, and in all processes but rank 0.
        """
        unchanged = self.changes_nothing(model, keep)
        due = self.period and ((run.epoch + 1) % self.period == 0 or run.last_epoch)
        if run.processes.broadcast(bool(due and not unchanged and run.evaluation is not None)):
            measure: Any = run.measure
            return measure(masked(model, self.graph, keep))
        return run.evaluation if unchanged else None

    def changes_nothing(self, model: DetectionModel, keep: Mapping[str, np.ndarray]) -> bool:
        """Tell whether gamma and beta of all channels that masks {group: bool [width]} remove are exactly zero."""
        parameters = ChannelParameters(model, self.graph)
        sizes = parameters.by_group(parameters.per_channel(parameters.loudness))
        return all(not sizes[name][~mask].any() for name, mask in keep.items())

    def share_dead(self, model: DetectionModel) -> float:
        """Return the share of free channels all of whose gammas are exactly zero."""
        parameters = ChannelParameters(model, self.graph)
        return float((parameters.per_channel(parameters.gamma.abs()) == 0).float().mean())

    def state_dict(self) -> dict[str, Any]:
        """Return the best fitness."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the best fitness."""
        self.best = state.get("best", 0.0)
