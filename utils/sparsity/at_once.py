"""What a sparse run is measured against at its end: a cut as deep of the network that it began with, at once."""

from typing import Any

from models.yolo import DetectionModel
from utils.data.choice import match_classes, same_classes
from utils.data.config import label_rules, load_data
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint
from utils.files.downloads import find_weights
from utils.pruning.channels.rebuild import widened
from utils.pruning.choice.costs import ChannelCost
from utils.pruning.choice.selection import select_by_cost
from utils.pruning.pipeline import make_cut, prepare, score
from utils.pruning.recipe import Recipe
from utils.sparsity.options import SparsityOptions
from utils.sparsity.preview import PreviewHook
from utils.teaching.options import TAUGHT_BY
from utils.training.checkpoints import write_checkpoint
from utils.training.loop import Hook
from utils.training.run import Run

FINDS_NOTHING = 0.01  # mAP50-95 of a network that has nothing to keep
KEPT = 0.9  # of the mAP50-95 before: a cut that keeps less is compared with one without any training


class CutAtOnce(Hook):
    """Writes the better of two networks into best_sparse.pt: the trained one, or the first one cut without training.

    A few optimizer steps may be too few to teach what the faded channels did; least squares then does better. It is
    tried where the cut keeps less than KEPT of what the run began with, in a single process, on validated images.
    """

    def __init__(self, options: SparsityOptions, preview: PreviewHook) -> None:
        """preview: knows the goal, and how good the best cut of the run is."""
        self.options, self.preview = options, preview

    def finish(self, run: Run) -> None:
        """Compare, and say what was found."""
        if run.processes.distributed or self.preview.latest is None:
            return
        try:
            start = self.beginning(run)
            if start is not None:
                self.compare(run, start)
        except InputError as error:
            run.say(f"a cut at once was not tried: {error}")

    def beginning(self, run: Run) -> DetectionModel | None:
        """Return the network that the run began with, and note who teaches what is cut from it.

        None where it was of other classes or layers. Raises InputError.
        """
        if not self.options.weights or self.options.activation:
            return None
        checkpoint, model = load_checkpoint(find_weights(self.options.weights)), run.ema.model
        start = checkpoint.network
        start.yaml = {**start.yaml, TAUGHT_BY: model.yaml.get(TAUGHT_BY, str(checkpoint.path.resolve()))}
        alike = same_classes(start.names, model.names) and shapes(start) == shapes(model)
        start.names = model.names
        return start if alike else None

    def compare(self, run: Run, start: DetectionModel) -> None:
        """Cut `start` at once where the run has lost much, and keep what that gives if it is better."""
        measure: Any = run.measure
        before = measure(start)
        if before.map <= FINDS_NOTHING or self.preview.best >= KEPT * before.fitness:
            return
        network, share = self.cut(run, start)
        found = measure(network)
        better = found.fitness > self.preview.best
        run.say(
            f"{self.options.weights} cut at once, without any training, weights refitted: mAP50 {found.map50:.3f}, "
            f"mAP50-95 {found.map:.3f}; {'it keeps more and is taken' if better else 'the training keeps more'}"
        )
        if better:
            cut = {"share": share, "map50": found.map50, "map": found.map}
            write_checkpoint(run, run.folder.best_sparse, finished_content(network, cut=cut))

    def cut(self, run: Run, start: DetectionModel) -> tuple[DetectionModel, float]:
        """Return (the cut network with its channels silent instead of gone, share of the channels). Raises InputError.

        start: its weights stay as they are.
        """
        options, goal, limits = self.options, self.preview.goal, self.preview.limits
        config = match_classes(load_data(options.data, label_rules(options)), start.names, say=lambda line: None)
        recipe = Recipe(limits=limits, seed=options.seed).untrained
        task = prepare(start, recipe, run.settings.imgsz, run.device, config)
        channels = ChannelCost(task.graph.channel_counts())
        keep = select_by_cost(score(task), goal.cost(task.graph, task.model), goal.left, limits)
        cut = make_cut(task, keep)
        return widened(cut.after, task.model, task.graph, cut.keep), 1 - channels.of(keep) / channels.total


def shapes(model: DetectionModel) -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of all tensors of a network."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
