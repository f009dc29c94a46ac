"""The photos that the delivered network gets wrong and the start does not."""

from utils.files.checkpoint import load_checkpoint
from utils.slimming.evaluator import CheckpointEvaluator
from utils.slimming.state import SlimRun
from utils.validation.worst import WORST, Worst, compare_networks, worst_lines


def write_worst(run: SlimRun, evaluator: CheckpointEvaluator) -> list[str]:
    """Write worst.jpg into the folder of a run, for its start and what it delivers; return lines about it.

    There are none when no step was kept.
    """
    if len(run.state.networks) == 1:
        return []
    return worst_lines(run.folder / WORST, lambda: worst_of(run, evaluator))


def worst_of(run: SlimRun, evaluator: CheckpointEvaluator) -> Worst:
    """Return the Worst photos of what a run delivers. Raises what compare_networks raises."""
    files = run.state.start.file, run.state.networks[-1].file
    start, delivered = (load_checkpoint(run.folder / file).model for file in files)
    return compare_networks(
        start, delivered, evaluator.config, device=evaluator.device, imgsz=evaluator.imgsz, workers=evaluator.workers
    )
