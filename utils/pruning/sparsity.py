"""Sparse training: what drives gammas to zero. Each way is a Hook that acts once per optimizer step, on float32 weights.

It acts after the optimizer's own step, so that it means the same with every optimizer, batch size, precision and number of
processes. The pull is lr · sr / (1 − momentum): what a gradient of sr · sign(gamma) adds up to under SGD with momentum.
"""

import math
from dataclasses import dataclass

import torch

from utils.engine import Hook
from utils.errors import InputError
from utils.options import option
from utils.pruning.channels import trace_channels
from utils.pruning.costs import ChannelCost, NetworkCost
from utils.pruning.importance import ChannelParameters
from utils.pruning.selection import Limits, select_by_cost
from utils.tracking import NEAR_ZERO
from utils.training import TrainOptions

PENALTIES = ("subgradient", "proximal", "group")
AUTO = "auto"  # --sr without a number: FadeOut


@dataclass
class SparsityOptions(TrainOptions):
    """Options of train_sparsity.py: those of train.py and how gammas are driven to zero."""

    st: bool = option(False, "sparse training; without it nothing differs from train.py")
    sr: str = option("0.005", "strength of the L1 penalty on gamma; auto: none to tune, --target says how far to go")
    penalty: str = option("subgradient", "how --sr NUMBER acts on gamma", choices=PENALTIES)
    target: float | None = option(None, "with --sr auto: share of the channels that shall be zero in the end, 0.5 for half")
    target_flops: float | None = option(None, "with --sr auto, instead of --target: share of the FLOPs that shall be left")

    def check(self):
        """Raise InputError for values that are wrong alone or exclude each other."""
        super().check()
        strength = parse_strength(self.sr)
        given = {flag: getattr(self, flag) for flag in ("target", "target_flops") if getattr(self, flag) is not None}
        for flag, value in given.items():
            if not 0 < value < 1:
                raise InputError(f"--{flag.replace('_', '-')} {value}: must be above 0 and below 1")
        if strength != AUTO and given:
            raise InputError(f"--{' --'.join(given).replace('_', '-')}: only means something with --sr auto")
        if strength == AUTO and len(given) != 1:
            raise InputError(
                "--sr auto: needs one goal: --target, the share of the channels that shall go, such as 0.5, or "
                "--target-flops, the share of the FLOPs that shall be left, such as 0.3"
            )

    def goal(self):
        """Return the Goal of --sr auto, None of a number."""
        given = ("channels", self.target) if self.target is not None else ("FLOPs", self.target_flops)
        return Goal(*given) if parse_strength(self.sr) == AUTO else None


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


def sparsity_hooks(options):
    """Return the hooks that SparsityOptions ask for."""
    if not options.st:
        return []
    goal = options.goal()
    return [FadeOut(goal) if goal else GammaPenalty(parse_strength(options.sr), options.penalty)]


def pull(run, sr):
    """Return by how much an L1 penalty of strength sr moves each gamma in this step."""
    group = run.optimizer.param_groups[0]
    momentum = group["momentum"] if "momentum" in group else group["betas"][0]
    return run.lr * sr / (1 - momentum)


class GammaHook(Hook):
    """What both ways share: the traced channels and their gammas."""

    def prepare(self, model):
        """Trace the network; channels of frozen layers are left alone. Raises InputError when there is nothing to act on."""
        self.graph = trace_channels(model)
        trained = {name for name, module in model.named_modules() if all(p.requires_grad for p in module.parameters())}
        self.groups = [group for group in self.graph.free_groups if trained.issuperset(group.norms)]
        if not self.groups:
            raise InputError("--freeze leaves no channel that sparse training could act on")
        self.parameters = ChannelParameters(model, self.graph, self.groups)

    def start(self, run):
        """Look at the weights where they are now: on another device, or in synchronised batch norms."""
        self.parameters = ChannelParameters(run.model, self.graph, self.groups)

    def share_near_zero(self):
        """Return the share of free gammas smaller than NEAR_ZERO."""
        gamma = self.parameters.gamma[self.parameters.free]
        return float((gamma.abs() < NEAR_ZERO).float().mean())


class GammaPenalty(GammaHook):
    """L1 on gamma, network slimming (Liu et al. 2017): the same strength sr for every channel that may go."""

    def __init__(self, sr, penalty="subgradient"):
        """sr: strength; penalty: subgradient (sign), proximal (soft threshold, exact zeros), group (tied gammas die together)."""
        self.sr, self.penalty = sr, penalty

    def after_step(self, run):
        """Pull all free gammas towards zero."""
        if self.sr == 0:
            return
        gamma, amount = self.parameters.gamma, pull(run, self.sr) * self.parameters.free
        if self.penalty == "subgradient":
            gamma -= amount * gamma.sign()
        elif self.penalty == "proximal":
            gamma = soft_threshold(gamma, amount)
        else:
            gamma = self.shrink_groups(gamma, pull(run, self.sr))
        self.parameters.write("weight", gamma)

    def shrink_groups(self, gamma, amount):
        """Return gamma after the proximal step of the group lasso (Yuan & Lin 2006): each channel's vector gets shorter."""
        squares = self.parameters.per_channel(gamma**2)
        sizes = self.parameters.per_channel(torch.ones_like(gamma))
        factors = (1 - amount * sizes.sqrt() / squares.sqrt().clamp(min=1e-12)).clamp(min=0)
        return gamma * self.parameters.per_place(factors, 1.0)

    def after_epoch(self, run):
        """Log the strength and what it reached."""
        run.log |= {"sparsity/sr": self.sr, "sparsity/share_near_zero": self.share_near_zero()}


def soft_threshold(values, amount):
    """Return values moved towards zero by amount, stopping there: the proximal operator of amount · |x|."""
    return values.sign() * (values.abs() - amount).clamp(min=0)


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


def verdict(model, weights, goal=None):
    """Return in words what may be cut from a sparsely trained DetectionModel whose checkpoint is `weights`.

    goal: Goal of the run if it had one.
    """
    graph = trace_channels(model)
    parameters = ChannelParameters(model, graph)
    loud = parameters.by_group(parameters.per_channel((parameters.gamma.abs() >= NEAR_ZERO).float()))
    keep = {name: values > 0 for name, values in loud.items()}
    share, flops = (1 - cost.of(keep) / cost.total for cost in (ChannelCost(graph.channel_counts()), NetworkCost.flops(graph, model)))
    line = f"{share:.1%} of the channels are at zero, {flops:.1%} of the FLOPs"
    if share < 0.01:
        return f"{line}: a cut will cost accuracy. Train longer, raise --sr, or let --sr auto --target 0.5 choose"
    cut = goal.cut if goal else f"--percent {share:.2g}"
    return f"{line}, so cutting them costs next to nothing: python prune.py {cut} --weights {weights}"


def parse_strength(text):
    """Return --sr as a number, or AUTO. Raises InputError for a negative or other value."""
    if text == AUTO:
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"--sr {text}: must be a number of at least 0, or auto")
    return value
