"""The network that a run begins with, as the first that may be the best."""

from typing import Any

from utils.files.checkpoint import finished_content
from utils.training.checkpoints import write_checkpoint
from utils.training.loop import Hook
from utils.training.run import Run


class Beginning(Hook):
    """Measures the network before it is trained, and keeps it as best.pt until an epoch does better.

    So fine-tuning never ends with a network that does worse on the validation images than the one that was cut.
    """

    def __init__(self) -> None:
        self.fitness = 0.0  # before the training; 0: not measured, or it finds nothing

    def start(self, run: Run) -> None:
        """Measure and keep it, unless that was done before the run was interrupted."""
        if run.measure is None or run.epoch or run.part:
            return
        measure: Any = run.measure
        found = measure(run.ema.model)
        if found is None or not found.fitness:  # not rank 0; a network whose Detect is new
            return
        self.fitness = run.best_fitness = found.fitness
        write_checkpoint(run, run.folder.best, finished_content(run.ema.model, best_fitness=found.fitness))
        run.say(f"before: mAP50 {found.map50:.3f}, mAP50-95 {found.map:.3f}; best.pt until an epoch does better")

    def closing_lines(self, run: Run) -> list[str]:
        """Return a line when no epoch did better."""
        if not self.fitness or run.best_fitness != self.fitness:
            return []
        return ["no epoch did better than the network before: best.pt is that one"]

    def state_dict(self) -> dict[str, Any]:
        """Return how good it was before."""
        return {"fitness": self.fitness}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over how good it was."""
        self.fitness = state.get("fitness", 0.0)
