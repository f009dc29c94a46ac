"""How much a teacher is heard: as long as it does better than its student on the same images, by their labels.

A dense network of few photos is soon behind a student that is trained on; what it says then holds the student back.
While channels fade and the student is the worse of the two, the teacher helps it. Where images without labels are
taught, and where the teacher knows some of the classes only, it is always heard.
"""

from typing import Any

import torch

from utils.training.faults.memory import images_of
from utils.training.run import Run

SILENT, HEARD = 0.9, 1.0  # student's loss of the labels by the teacher's: up to here not heard, from here on wholly


class Judgement:
    """Compares the label losses of student and teacher, running means over about an epoch."""

    def __init__(self) -> None:
        self.losses = torch.zeros(2)  # of student and teacher
        self.batches = 0  # that were compared

    def weigh(self, run: Run, taught: list[torch.Tensor]) -> torch.Tensor:
        """Return how much the teacher is heard, 0 to 1, a scalar tensor.

        taught: the teacher's raw outputs of the images at hand, nl maps as run.model has them.
        """
        batch = run.batch
        with torch.no_grad():
            theirs: Any = run.loss(images_of(taught, batch.labelled), batch.targets, batch.divisors)[1]
        losses = run.loss.average(torch.stack((batch.losses.sum(), theirs.sum())))
        self.batches += 1
        mean = self.losses.to(losses.device)
        moved = mean + (losses - mean) * max(1 / self.batches, 1 / run.schedule.batches)
        self.losses = torch.where(losses.isfinite().all(), moved, mean)
        return self.weight

    @property
    def weight(self) -> torch.Tensor:
        """How much the teacher is heard, 0 to 1; 1 before anything was compared."""
        student, teacher = self.losses
        return ((student / teacher.clamp(min=1e-9) - SILENT) / (HEARD - SILENT)).clamp(0, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return means and count."""
        return {"losses": self.losses, "batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over means and count."""
        self.losses, self.batches = state["losses"].clone(), state["batches"]
