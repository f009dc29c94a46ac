"""How much a teacher is heard: as long as it does better than its student.

A dense network of few photos is soon behind a student that is trained on; what it says then holds the student back.
While channels fade and the student is the worse of the two, the teacher helps it. Which of them does better is what
the validation images say after each epoch, where they are measured and both networks have the same classes; otherwise
the loss of the labels of the training images. Where images without labels are taught, and where the teacher knows some
of the classes only, it is always heard.
"""

from typing import Any

import torch

from models.yolo import DetectionModel
from utils.training.faults.memory import images_of
from utils.training.run import Run

# The student's mAP by the teacher's: up to the first the teacher is wholly heard, from the second on not at all.
MAP_RANGE = 1.0, 1.1
LOSS_RANGE = 1.0, 0.9  # the same of the loss of the labels


class Judgement:
    """Compares student and teacher: by mAP, or by means of their losses over about an epoch."""

    def __init__(self) -> None:
        self.losses = torch.zeros(2)  # of student and teacher
        self.batches = 0  # that were compared
        self.teacher_map: float | None = None  # mAP50-95 on the validation images
        self.by_map: float | None = None  # how much the teacher is heard, by the last validation

    def weigh(self, run: Run, taught: list[torch.Tensor]) -> torch.Tensor | float:
        """Return how much the teacher is heard, 0 to 1.

        taught: the teacher's raw outputs of the images at hand, nl maps as run.model has them.
        """
        if self.by_map is not None:
            return self.by_map
        batch = run.batch
        with torch.no_grad():
            theirs: Any = run.loss(images_of(taught, batch.labelled), batch.targets, batch.divisors)[1]
        losses = run.loss.average(torch.stack((batch.losses.sum(), theirs.sum())))
        self.batches += 1
        mean = self.losses.to(losses.device)
        moved = mean + (losses - mean) * max(1 / self.batches, 1 / run.schedule.batches)
        self.losses = torch.where(losses.isfinite().all(), moved, mean)
        return self.by_loss()

    def by_loss(self) -> torch.Tensor:
        """Return how much the teacher is heard, by the means of the losses."""
        student, teacher = self.losses
        return heard(student / teacher.clamp(min=1e-9), LOSS_RANGE)

    @property
    def weight(self) -> float | None:
        """How much the teacher is heard, 0 to 1; None before anything was compared."""
        if self.by_map is not None or not self.batches:
            return self.by_map
        return self.by_loss().item()

    def validate(self, run: Run, teacher: DetectionModel) -> None:
        """Compare by the mAP of the epoch that was just validated; every process calls it."""
        main = run.processes.main
        if self.teacher_map is None:
            found = run.measure(teacher)
            self.teacher_map = run.processes.broadcast(found.map if main else None)
        student = run.processes.broadcast(run.evaluation.map if main else None)
        self.by_map = heard(torch.tensor(student / max(self.teacher_map or 0.0, 1e-9)), MAP_RANGE).item()

    def state_dict(self) -> dict[str, Any]:
        """Return all that was compared."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what was compared."""
        vars(self).update(state | {"losses": state["losses"].clone()})


def heard(ratio: torch.Tensor, ends: tuple[float, float]) -> torch.Tensor:
    """Return how much a teacher is heard by a ratio of student and teacher: from 1 to 0 between the ends."""
    whole, none = ends
    return ((none - ratio) / (none - whole)).clamp(0, 1)
