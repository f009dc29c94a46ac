"""What may be cut after sparse training, told by the numbers of the file that is to be cut."""

import math
import shlex
from typing import Any

from utils.files.checkpoint import load_checkpoint
from utils.pruning.choice.costs import ChannelCost
from utils.pruning.choice.selection import largest_share
from utils.pruning.scores.parameters import ChannelParameters, gamma_scores
from utils.sparsity.fading import FadeOut
from utils.sparsity.preview import PreviewHook
from utils.training.logs.gamma import NEAR_ZERO
from utils.training.loop import Hook
from utils.training.run import Run

SLACK = 0.02  # of the whole that may lack to a goal
WORTHWHILE = 0.01  # share of the channels: less is not worth a cut


class CutAdvice(Hook):
    """Tells after a sparse run what may be cut, and with which command."""

    def __init__(self, hooks: list[Hook], data: str, usual_round: int):
        """hooks: those of sparsity_hooks; data: the data yaml, as it was given; usual_round: prune.py's own --round."""
        self.preview = next(hook for hook in hooks if isinstance(hook, PreviewHook))
        self.fade = next((hook for hook in hooks if isinstance(hook, FadeOut)), None)
        self.data, self.usual_round = data, usual_round

    def closing_lines(self, run: Run) -> list[str]:
        """Return what the file to prune is like, and the command that goes on with it."""
        file = run.folder.best_sparse if run.folder.best_sparse in run.written else run.folder.last
        checkpoint = load_checkpoint(file)
        model, preview = checkpoint.network, self.preview
        keep = loud_channels(model, preview.graph)
        channels = ChannelCost(preview.graph.channel_counts())
        share, flops = (1 - cost.of(keep) / cost.total for cost in (channels, preview.flops))
        silent = f"{share:.1%} of the channels are at zero, which is {flops:.1%} of the FLOPs"
        measured = checkpoint.entries.get("cut")  # as PreviewHook writes it
        if preview.cost.of(keep) <= (preview.goal.left + SLACK) * preview.cost.total:
            cut = self.cut_flags(share)
            lines = [silent, *([f"cut with {cut}: {scores(measured)} before fine-tuning"] if measured else [])]
            return [*lines, *self.drop_lines(measured), self.next_line("prune.py", cut, file, run)]
        cut = self.cut_flags(1 - channels.of(preview.choose(model)[0]) / channels.total)
        lines = [f"not sparse enough for {cut}" + (f": that cut would leave {scores(measured)}" if measured else "")]
        if measured and run.evaluation is not None:
            lines[0] += f" of {run.evaluation.map50:.3f} and {run.evaluation.map:.3f}"
        return [*lines, *self.drop_lines(measured), *self.way_on(silent, share, model, file, run)]

    def way_on(self, silent: Any, share: Any, model: Any, file: Any, run: Any) -> Any:
        """Return what works instead of a cut that would cost too much: the silent channels, or another training."""
        preview = self.preview
        channels = ChannelCost(preview.graph.channel_counts())
        free = min(share, largest_share(gamma_scores(model, preview.graph), channels, preview.limits))
        free = math.floor(free * 1e4) / 1e4
        if self.fade is None:
            advice = f"--sr auto {preview.goal.flag} reaches it, or a longer training with a larger --sr"
        else:
            advice = "more --epochs give the channels the time to go"
        if free >= WORTHWHILE:
            return [
                f"{silent}; these cost nothing. {advice}",
                self.next_line("prune.py", f"--percent {free}", file, run),
            ]
        again = f"--st --sr auto {preview.goal.flag}"
        return [f"{silent}. {advice}", self.next_line("train_sparsity.py", again, file, run)]

    def cut_flags(self, share: Any) -> Any:
        """Return the flags with which prune.py cuts `share` of the channels towards the goal."""
        multiple = self.preview.limits.multiple
        rounding = "" if multiple == self.usual_round else f" --round {multiple}"
        return self.preview.goal.cut(share) + rounding

    def drop_lines(self, measured: Any) -> Any:
        """Return what the fade has to say about the accuracy of the cut."""
        if self.fade is None or not measured:
            return []
        return self.fade.drop_lines((measured["map50"], measured["map"]))

    def next_line(self, script: Any, flags: Any, file: Any, run: Any) -> Any:
        """Return the command to go on with."""
        words = ["python", script, *flags.split(), "--weights", str(file), "--data", self.data]
        words += ["--imgsz", str(run.settings.imgsz)]
        if script == "prune.py" and run.evaluation is None:
            words.append("--noval")  # there is nothing to validate on
        return f"next: {shlex.join(words)}"


def loud_channels(model: Any, graph: Any) -> Any:
    """Return the masks {group: bool [width]} of the channels that have a gamma of at least NEAR_ZERO."""
    parameters = ChannelParameters(model, graph)
    loud = parameters.by_group(parameters.per_channel((parameters.gamma.abs() >= NEAR_ZERO).float()))
    return {name: values > 0 for name, values in loud.items()}


def scores(measured: Any) -> Any:
    """Return the accuracies of a cut in words."""
    return f"mAP50 {measured['map50']:.3f}, mAP50-95 {measured['map']:.3f}"
