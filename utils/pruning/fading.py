"""Sparse training without a strength to tune: the channels that are to go are chosen, and exactly those fade to zero."""

from dataclasses import dataclass

import torch

from utils.errors import InputError
from utils.pruning.costs import ChannelCost, NetworkCost
from utils.pruning.importance import ChannelParameters
from utils.pruning.penalties import GammaHook
from utils.pruning.selection import Limits, select_by_cost


@dataclass(frozen=True)
class Goal:
    """What --sr auto drives a run to."""

    kind: str  # channels: `share` of them goes; FLOPs: `share` of them is left
    share: float

    @property
    def left(self):
        """Share of the cost that is left."""
        return 1 - self.share if self.kind == "channels" else self.share

    @property
    def flag(self):
        """The flag of train_sparsity.py that asks for it."""
        return f"--target{'-flops' if self.kind == 'FLOPs' else ''} {self.share:g}"

    @property
    def cut(self):
        """The flag with which prune.py cuts what such a run has silenced."""
        return f"{'--flops' if self.kind == 'FLOPs' else '--percent'} {self.share:g}"

    def cost(self, graph, model):
        """Return the cost (see costs.py) that the goal is a share of."""
        return NetworkCost.flops(graph, model) if self.kind == "FLOPs" else ChannelCost(graph.channel_counts())


class FadeOut(GammaHook):
    """Sparse training without a strength to tune: chooses the channels that are to go, and fades exactly those to zero.

    Each channel is scored by the running mean of (sum over its tied batch norms of gamma·∂gamma + beta·∂beta)²: the squared
    first-order Taylor estimate of what its removal does to the loss (Molchanov et al. 2019). At choose_until of the run those
    with the smallest scores are chosen; from then on their gamma and beta shrink linearly, to exactly zero at fade_until,
    while the others train freely. Beta fades with gamma: cutting the channels changes nothing, picture borders included.
    """

    def __init__(self, goal, limits=Limits(), choose_until=0.3, fade_until=0.6):
        """goal: Goal; limits: of the selection; choose_until, fade_until: shares of the run."""
        self.goal, self.limits = goal, limits
        self.choose_until, self.fade_until = choose_until, fade_until
        self.seen = 0  # steps that the scores are a mean of

    def prepare(self, model):
        """Trace the network; check that the target can be reached."""
        super().prepare(model)
        self.cost = self.goal.cost(self.graph, model)
        self.scores = torch.ones(self.parameters.count)  # replaced by the first step's; all count as in use
        self.choose()

    def start(self, run):
        """Move scores and choice to where the weights are."""
        super().start(run)
        device = self.parameters.index.device
        self.scores, self.keep = self.scores.to(device), self.keep.to(device)

    def before_step(self, run):
        """Update the scores from the gradients of this step."""
        if self.faded(run.step / run.total_steps) > 0:
            return
        estimates = sum(
            self.parameters.gather([getattr(n, name) * getattr(n, name).grad for n in self.parameters.norms])
            for name in ("weight", "bias")
        )
        self.seen += 1
        self.scores += (self.parameters.per_channel(estimates) ** 2 - self.scores) / self.seen

    def after_step(self, run):
        """Shrink the chosen channels."""
        before, now = (self.faded(step / run.total_steps) for step in (run.step - 1, run.step))
        if now == 0:
            return
        if before == 0:
            self.choose()
        ratio = 0.0 if now == 1 else (1 - now) / (1 - before)
        self.parameters.multiply(self.factors(ratio))
        if now == 1:
            average = ChannelParameters(run.ema.model, self.graph, self.groups)
            average.multiply(self.factors(0.0))

    def faded(self, progress):
        """Return how far the fading is, 0 to 1, at a share of the run."""
        return min(max((progress - self.choose_until) / (self.fade_until - self.choose_until), 0.0), 1.0)

    def factors(self, ratio):
        """Return the flat vector [P]: ratio at the places of channels that are to go, 1 elsewhere."""
        channels = torch.where(self.keep, 1.0, ratio).to(self.parameters.norms[0].weight.dtype)
        return self.parameters.per_place(channels, 1.0)

    def choose(self):
        """Decide by the scores which channels are to go."""
        keep = select_by_cost(self.parameters.by_group(self.scores), self.cost, self.goal.left, self.limits)
        self.keep = self.parameters.from_groups(keep)

    def after_epoch(self, run):
        """Log how far the fading is and what it reached."""
        progress = self.faded(run.step / run.total_steps)
        run.log |= {"sparsity/faded": progress, "sparsity/share_near_zero": self.share_near_zero()}

    def after_validation(self, run):
        """Keep the run going while accuracy dips: patience counts for nothing before the channels are gone."""
        if self.faded(run.step / run.total_steps) < 1:
            run.stop = False

    def state_dict(self):
        """Return scores and choice."""
        return {"scores": self.scores.cpu(), "keep": self.keep.cpu(), "seen": self.seen, "goal": self.goal.flag}

    def load_state_dict(self, state):
        """Take over scores and choice. Raises InputError when the run had another target."""
        if state["goal"] != self.goal.flag:
            raise InputError(f"{self.goal.flag}: the run to resume has {state['goal']}")
        self.scores, self.keep, self.seen = state["scores"], state["keep"], state["seen"]
