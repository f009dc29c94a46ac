"""Sparse training without a strength to tune: the channels that are to go are chosen, and exactly those fade."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.data.samples import Samples
from utils.errors import InputError, blaming
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.milliseconds import Rates
from utils.pruning.choice.selection import CEILING_SLACK, largest_share, select_by_cost
from utils.pruning.scores.parameters import ChannelParameters
from utils.sparsity.expectation import flops_left, outlook
from utils.sparsity.goal import Goal
from utils.sparsity.penalties import GammaHook
from utils.training.loop import Run

COURSE = ("seen", "delay", "waiting", "baseline", "best_unfaded", "best_faded")  # that a resumed fade needs
LATEST = 0.8  # of the run: the fade waits no longer for accuracy
CHOOSE_UNTIL, FADE_UNTIL = 0.3, 0.6  # of the run: channels are chosen, and are at zero
MUCH = 0.1  # of the mAP50-95 before the fade: who loses more is told what helps


class FadeOut(GammaHook):
    """Sparse training without a strength to tune: chooses the channels that are to go, and fades exactly those to zero.

    Each channel is scored by the running mean of (sum over its tied batch norms of gamma·∂gamma + beta·∂beta)²: the
    squared first-order Taylor estimate of what its removal does to the loss (Molchanov et al. 2019). At choose_until of
    the run those with the smallest scores are chosen; from then on their gamma and beta shrink linearly, to exactly
    zero at fade_until, while the others train freely. Beta fades with gamma: cutting the channels changes nothing,
    picture borders included.

    With max_drop the fade waits while mAP50-95 is more than that below what it was at the start, though not beyond
    LATEST.
    """

    def __init__(
        self,
        goal: Goal,
        limits: Limits = Limits(),
        choose_until: float = CHOOSE_UNTIL,
        fade_until: float = FADE_UNTIL,
        max_drop: float | None = None,
        baseline: Any = None,
        say: Callable[[str], object] | None = None,
    ) -> None:
        """Plan the course of the fade.

        Args:
            goal: Goal.
            limits: of the selection.
            choose_until, fade_until: shares of the run.
            max_drop: of mAP50-95, or None.
            baseline: the mAP50-95 that max_drop is counted from; None: that of the network that the run begins with.
            say: gets a line about when the channels go; None: nobody wants to know.
        """
        self.goal, self.limits = goal, limits
        self.choose_until, self.fade_until = choose_until, fade_until
        self.max_drop, self.baseline, self.say = max_drop, baseline, say
        self.seen = 0  # steps that the scores are a mean of
        self.delay = 0  # steps that the fade has waited
        self.waiting = False
        self.best_unfaded = 0.0  # best mAP50-95 until the fade began
        self.best_faded = 0.0  # best fitness since its end

    def prepare(self, model: DetectionModel) -> None:
        """Trace the network; check that the target can be reached."""
        super().prepare(model)
        self.cost = self.goal.cost(self.graph, model)
        self.scores = torch.ones(self.parameters.count)  # replaced by the first step's; all count as in use
        with blaming(f"{self.goal.flag}:"):
            self.check_target()

    def check_target(self) -> None:
        """Raise InputError when the limits do not allow the target; it names --freeze if that is the cause."""
        try:
            self.choose()
        except InputError as error:
            channels = {group.name: np.ones(group.width) for group in self.graph.free_groups}
            possible = largest_share(channels, self.cost, self.limits) + CEILING_SLACK >= 1 - self.goal.left
            if not possible or len(self.groups) == len(channels):
                raise
            raise InputError(f"{error}; --freeze keeps the channels that are missing, freeze fewer layers") from None

    def start(self, run: Run) -> None:
        """Move scores and choice to where the weights are."""
        super().start(run)
        device = self.parameters.index.device
        self.scores = self.scores.to(device)
        self.keep: torch.Tensor = self.keep.to(device)
        self.goal.rates = run.processes.broadcast(self.goal.rates)  # all processes must choose the same
        self.cost = self.goal.cost(self.graph, run.model)
        if self.max_drop is not None and self.baseline is None:
            measure: Any = run.measure
            start = measure(run.ema.model)
            self.baseline = run.processes.broadcast(start.map if run.processes.main else None)
        if self.say and self.faded(run) < 1:
            self.say(self.plan_line(run))

    def opening_lines(self, run: Run, samples: Samples) -> list[str]:
        """Return what is to be expected of the run."""
        fading = round((self.fade_until - self.choose_until) * run.total_steps)
        return outlook(samples, run.total_steps, flops_left(self.goal), fading)

    def plan_line(self, run: Run) -> str:
        """Return in words when the channels go, as far as it is known."""
        first = math.floor(self.choose_until * run.total_steps)
        last = min(math.ceil(self.fade_until * run.total_steps) + self.delay, run.total_steps) - 1
        chosen, gone = run.schedule.epoch_of(first), run.schedule.epoch_of(last)
        waits = "" if self.max_drop is None else ", if mAP lets it"
        return (
            f"channels that go: chosen in epoch {chosen}, at zero in epoch {gone}, "
            f"{last - first} optimizer steps later{waits}; mAP dips meanwhile"
        )

    def before_step(self, run: Run) -> None:
        """Update the scores from the gradients of this step."""
        if self.faded(run) > 0:
            return
        estimates: Any = sum(
            self.parameters.gather([getattr(n, name) * getattr(n, name).grad for n in self.parameters.norms])
            for name in ("weight", "bias")
        )
        self.seen += 1
        self.scores += (self.parameters.per_channel(estimates) ** 2 - self.scores) / self.seen

    def after_step(self, run: Run) -> None:
        """Shrink the chosen channels."""
        if self.waiting and self.delay < round((LATEST - self.fade_until) * run.total_steps):
            self.delay += 1
            return
        before, now = self.faded(run, -1), self.faded(run)
        if now == 0:
            return
        if before == 0:
            self.choose()
        ratio = 0.0 if now == 1 else (1 - now) / (1 - before)
        self.parameters.multiply(self.factors(ratio))
        if before < 1 == now:  # what is zero on both sides stays zero in a moving average
            average = ChannelParameters(run.ema.model, self.graph, self.groups)
            average.multiply(self.factors(0.0))

    def faded(self, run: Run, steps: int = 0) -> float:
        """Return how far the fading is, 0 to 1; steps: so many later."""
        progress = (run.step - self.delay + steps) / run.total_steps
        return min(max((progress - self.choose_until) / (self.fade_until - self.choose_until), 0.0), 1.0)

    def factors(self, ratio: float) -> torch.Tensor:
        """Return the flat vector [P]: ratio at the places of channels that are to go, 1 elsewhere."""
        channels = torch.where(self.keep, 1.0, ratio).to(self.parameters.norms[0].weight.dtype)
        return self.parameters.per_place(channels, 1.0)

    def choose(self) -> None:
        """Decide by the scores which channels are to go."""
        keep = select_by_cost(self.parameters.by_group(self.scores), self.cost, self.goal.left, self.limits)
        self.keep = self.parameters.from_groups(keep)

    def after_epoch(self, run: Run) -> None:
        """Log how far the fading is and what it reached."""
        run.log |= {"sparsity/faded": self.faded(run), "sparsity/share_near_zero": self.share_near_zero()}

    def after_validation(self, run: Run) -> None:
        """Decide whether to wait; let patience count from the end of the fade, and for what is reached since then."""
        if run.evaluation is not None and self.faded(run) == 0:
            self.best_unfaded = max(self.best_unfaded, run.evaluation.map)
        if self.max_drop is not None:
            dropped = run.evaluation is not None and run.evaluation.map < self.baseline - self.max_drop
            self.waiting = run.processes.broadcast(dropped) and 0 < self.faded(run) < 1
        better = run.evaluation is not None and run.evaluation.fitness > self.best_faded
        if self.faded(run) < 1:
            run.best_epoch = run.epoch
        elif better:
            self.best_faded, run.best_epoch = run.evaluation.fitness, run.epoch

    def drop_lines(self, reached: Any) -> Any:
        """Return in words ([] or one line) whether max_drop was kept, or without one, that much was lost.

        reached: (mAP50, mAP50-95) of the cut, or None.
        """
        if reached is None:
            return []
        if self.max_drop is None:
            lost = reached[1] < (1 - MUCH) * self.best_unfaded
            advice = f"more --epochs let the network follow, a goal nearer than {self.goal.flag} asks less of it"
            return [f"mAP50-95 was {self.best_unfaded:.3f} before the channels faded: {advice}"] if lost else []
        words = f"mAP50-95 was {self.baseline:.3f} at the start"
        if reached[1] >= self.baseline - self.max_drop:
            return [f"{words}: within --max-drop {self.max_drop:g}"]
        advice = f"aim less far than {self.goal.flag}, or train longer"
        return [f"{words}: the cut loses more than --max-drop {self.max_drop:g}; {advice}"]

    def state_dict(self) -> dict[str, Any]:
        """Return scores, choice and course."""
        rates = asdict(self.goal.rates) if self.goal.rates else None
        course = {name: getattr(self, name) for name in COURSE}
        return {"scores": self.scores.cpu(), "keep": self.keep.cpu(), "goal": self.goal.flag, "rates": rates, **course}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over scores, choice and course. Raises InputError when the run had another target."""
        if state["goal"] != self.goal.flag:
            raise InputError(f"{self.goal.flag}: the run to resume has {state['goal']}")
        self.scores, self.keep = state["scores"], state["keep"]
        if state["rates"]:
            self.goal.rates = Rates(**state["rates"])
        for name in COURSE:
            setattr(self, name, state.get(name, getattr(self, name)))  # older runs have fewer
