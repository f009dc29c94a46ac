"""Sparse training: what train_sparsity.py adds to train.py."""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from utils.benchmark.latency import RUNTIMES
from utils.cli.options import option
from utils.errors import InputError
from utils.pruning.choice.costs import ChannelCost
from utils.pruning.choice.selection import Limits
from utils.pruning.options import PruneOptions
from utils.pruning.scores.parameters import ChannelParameters
from utils.sparsity.fading import FLAGS, FadeOut, Goal
from utils.sparsity.penalties import PENALTIES, SCHEDULES, GammaPenalty
from utils.sparsity.preview import PreviewHook
from utils.training.gamma_log import NEAR_ZERO
from utils.training.loop import Hook, Run
from utils.training.train import TrainOptions

TARGETS = {flag[2:].replace("-", "_"): flag for flag in FLAGS.values()}  # field of SparsityOptions → flag
AUTO = "auto"  # --sr without a number: FadeOut
SLACK = 0.02  # of the whole that may lack to a goal
USUAL_SHARE = 0.5  # of the channels go in the cut that is previewed when no goal is given


@dataclass
class SparsityOptions(TrainOptions):
    """Options of train_sparsity.py: those of train.py and how gammas are driven to zero."""

    st: bool = option(False, "sparse training; without it nothing differs from train.py")
    sr: str = option("0.005", "strength of the L1 penalty on gamma; auto: none to tune, --target says how far to go")
    penalty: str = option("subgradient", "how --sr NUMBER acts on gamma", choices=PENALTIES)
    sr_schedule: str = option("constant", "how --sr NUMBER changes during the run", choices=tuple(SCHEDULES))
    sr_beta: float = option(0.0, "with --sr NUMBER, strength of the same penalty on beta", minimum=0)
    target: float | None = option(None, "share of the channels that should go: 0.5 is half")
    target_flops: float | None = option(None, "instead of --target, share of the FLOPs that should be left")
    target_latency: float | None = option(
        None, "instead of --target, share of an image's time on this CPU that should be left"
    )
    runtime: str = option("onnx", "what --target-latency is measured in", choices=RUNTIMES)
    max_drop: float | None = option(
        None, "with --sr auto, the fade waits while mAP50-95 is so much below the start", minimum=0
    )
    round: int = option(PruneOptions.round, "widths that stay are multiples of this, as in prune.py", minimum=1)
    preview_period: int = option(5, "measure the cut, its channels masked, every so many epochs; 0: never", minimum=0)

    def check(self) -> None:
        """Raise InputError for values that are wrong alone or exclude each other."""
        super().check()
        strength = parse_strength(self.sr)
        given = {flag: getattr(self, name) for name, flag in TARGETS.items() if getattr(self, name) is not None}
        for flag, value in given.items():
            if not 0 < value < 1:
                raise InputError(f"{flag} {value}: must be above 0 and below 1")
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)}: exclude each other")
        if strength == AUTO and not given:
            raise InputError(
                "--sr auto: needs a goal: --target, the share of the channels that should go, such as 0.5, or "
                "--target-flops or --target-latency, the share of FLOPs or of time that should be left, such as 0.3"
            )
        if strength == AUTO and (self.sr_beta or self.sr_schedule != "constant" or self.penalty != "subgradient"):
            raise InputError("--sr auto: uses no penalty; leave out --penalty, --sr-schedule and --sr-beta")
        if self.runtime != RUNTIMES[-1] and self.target_latency is None:
            raise InputError(f"--runtime {self.runtime}: has no effect without --target-latency")
        if self.max_drop is not None and (strength != AUTO or self.noval):
            raise InputError(f"--max-drop {self.max_drop:g}: needs --sr auto and a validation after each epoch")
        if self.max_drop is not None and self.activation:
            raise InputError("--max-drop and --activation exclude each other: a new activation costs mAP at first")

    def goal(self) -> Goal:
        """Return the Goal: what --sr auto reaches, and what cut the previews of both ways try."""
        if self.target_flops is not None:
            return Goal("FLOPs", self.target_flops)
        if self.target_latency is not None:
            return Goal("time", self.target_latency, self.imgsz, self.runtime)
        return Goal("channels", USUAL_SHARE if self.target is None else self.target)


def sparsity_hooks(options: SparsityOptions, say: Callable[[str], object] | None = None) -> list[Hook]:
    """Return the hooks that SparsityOptions ask for; `say` gets a line about what they will do."""
    if not options.st:
        return []
    strength, goal = parse_strength(options.sr), options.goal()
    if strength == AUTO:
        limits = Limits(multiple=options.round)
        fade = FadeOut(goal, limits, max_drop=options.max_drop, say=say)
        return [fade, PreviewHook(goal, options.preview_period, limits)]
    penalty = GammaPenalty(float(strength), options.penalty, options.sr_schedule, options.sr_beta)
    limits = Limits(PruneOptions.min_channels, PruneOptions.max_layer_share, options.round)  # what prune.py would cut
    return [penalty, PreviewHook(goal, options.preview_period, limits)]


def preamble(options: SparsityOptions) -> list[str]:
    """Return lines to show before a run with SparsityOptions begins: what takes a while, what may be misunderstood."""
    lines, given = [], [flag for name, flag in TARGETS.items() if getattr(options, name) is not None]
    if not options.st:
        idle = [f"--sr {options.sr}"] * (options.sr != SparsityOptions.sr) + given
        return [f"{' and '.join(idle)}: no effect without --st, this is plain training"] if idle else []
    if given and parse_strength(options.sr) != AUTO:
        lines.append(
            f"--sr {options.sr} is a penalty, however far it gets; {given[0]} is the cut that is tried on "
            f"the way. To reach it: --sr auto"
        )
    if options.target_latency is not None:
        lines.append(f"measuring in {options.runtime} what widths cost in time, about a minute")
    return lines


def verdict(run: Run, hooks: Sequence[Hook], data: str) -> str:
    """Return in words what may be cut after a sparse Run with the hooks of sparsity_hooks, and the command for it.

    data: the data yaml, as it was given.
    """
    preview = next(hook for hook in hooks if isinstance(hook, PreviewHook))
    model, graph, goal = run.ema.model, preview.graph, preview.goal
    parameters = ChannelParameters(model, graph)
    loud = parameters.by_group(parameters.per_channel((parameters.gamma.abs() >= NEAR_ZERO).float()))
    keep = {name: values > 0 for name, values in loud.items()}
    channels = ChannelCost(graph.channel_counts())
    share, flops = (1 - cost.of(keep) / cost.total for cost in (channels, preview.flops))
    lines = [f"{share:.1%} of the channels are at zero, which is {flops:.1%} of the FLOPs"]
    enough = preview.cost.of(keep) <= (goal.left + SLACK) * preview.cost.total
    if not enough:
        share = 1 - channels.of(preview.choose(model)[0]) / channels.total
    cut, multiple = goal.cut(share), preview.limits.multiple
    if multiple != PruneOptions.round:
        cut += f" --round {multiple}"
    if preview.latest:
        scores = f"mAP50 {preview.latest[0]:.3f}, mAP50-95 {preview.latest[1]:.3f}"
        lines.append(f"cut with {cut}: {scores} before fine-tuning")
    if not enough:
        lines.append(f"not sparse enough for {cut}: train longer, raise --sr, or let --sr auto {goal.flag} choose")
    lines += [line for hook in hooks if isinstance(hook, FadeOut) for line in hook.drop_lines(preview.latest)]
    file = run.folder.best_sparse if run.folder.best_sparse in run.written else run.folder.last
    words = [
        "python",
        "prune.py",
        *cut.split(),
        "--weights",
        str(file),
        "--data",
        data,
        "--imgsz",
        str(run.settings.imgsz),
    ]
    return "\n".join([*lines, f"next: {shlex.join(words)}"])


def parse_strength(text: str) -> float | str:
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
