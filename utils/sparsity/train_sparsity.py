"""Sparse training: what train_sparsity.py adds to train.py."""

from collections.abc import Callable

from utils.data.config import label_rules, load_data
from utils.data.splits import require_objects
from utils.pruning.choice.limits import Limits
from utils.pruning.options import PruneOptions
from utils.sparsity.advice import CutAdvice
from utils.sparsity.at_once import CutAtOnce
from utils.sparsity.fading import FadeOut
from utils.sparsity.goal import Goal
from utils.sparsity.options import AUTO, USUAL_SHARE, SparsityOptions, opening_notes
from utils.sparsity.penalties import GammaPenalty
from utils.sparsity.preview import PreviewHook
from utils.teaching.hooks import teaching_hooks
from utils.training.loop import Hook
from utils.training.run import Run
from utils.training.train import train


def train_sparsity(options: SparsityOptions) -> Run:
    """Train as the options say, tell what may be cut, and return the Run. Raises what train raises."""
    return train(options, make_hooks=advised_hooks)


def advised_hooks(options: SparsityOptions, say: Callable[[str], None]) -> list[Hook]:
    """Return the hooks of a sparse run that ends with advice; `say` gets what is to be known before it begins.

    Raises InputError when --max-drop rests on images that show no object.
    """
    hooks = sparsity_hooks(options, say)
    if not hooks:
        return []
    if options.max_drop is not None:
        config = load_data(options.data, label_rules(options))
        require_objects(config, "val", "--max-drop", max(options.workers, 1))
    for line in opening_notes(options):
        say(line)
    at_once = [CutAtOnce(options, hook) for hook in hooks if isinstance(hook, PreviewHook) and options.strength == AUTO]
    return [*hooks, *teaching_hooks(options, say), *at_once, CutAdvice(hooks, options.data, PruneOptions.round)]


def sparsity_hooks(options: SparsityOptions, say: Callable[[str], None] | None = None) -> list[Hook]:
    """Return the hooks that SparsityOptions ask for; `say` gets a line about when the channels go."""
    if not options.st:
        return []
    goal = goal_of(options)
    if options.strength == AUTO:
        limits = Limits(multiple=options.round)
        fade = FadeOut(goal, limits, max_drop=options.max_drop, say=say)
        return [fade, PreviewHook(goal, options.preview_period, limits)]
    penalty = GammaPenalty(float(options.strength), options.penalty, options.sr_schedule, options.sr_beta)
    limits = Limits(PruneOptions.min_channels, PruneOptions.max_layer_share, options.round)  # what prune.py would cut
    return [penalty, PreviewHook(goal, options.preview_period, limits)]


def goal_of(options: SparsityOptions) -> Goal:
    """Return the Goal: what --sr auto reaches, and what cut the previews of both ways try."""
    if options.target_flops is not None:
        return Goal("FLOPs", options.target_flops)
    if options.target_latency is not None:
        return Goal("time", options.target_latency, options.imgsz, options.runtime)
    return Goal("channels", USUAL_SHARE if options.target is None else options.target)
