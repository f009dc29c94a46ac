"""The flags of finetune_pruned.py."""

from dataclasses import dataclass
from typing import ClassVar

from utils.cli.options import option
from utils.errors import InputError
from utils.training.options import COMPARED, TrainOptions


@dataclass
class FinetuneOptions(TrainOptions):
    """Options of finetune_pruned.py: those of train.py and who teaches."""

    cfg_decides: ClassVar[bool] = False
    cfg: str = option("", COMPARED)
    teacher: str = option("", "checkpoint, such as that before pruning, whose outputs and features are learned too")
    distill_output: float = option(1.0, "gain of the loss towards the teacher's outputs; 0: without", minimum=0)
    distill_feature: float = option(0.1, "gain of the loss towards the teacher's features; 0: without", minimum=0)
    unlabelled: str = option(
        "", "folder of images without labels, which only the teacher judges; as many join each batch"
    )

    def __post_init__(self):
        """Keep the anchors under a teacher: its outputs mean something with its own only."""
        self.noautoanchor = self.noautoanchor or bool(self.teacher)

    def check(self) -> None:
        """Raise InputError for values that are wrong alone or exclude each other."""
        super().check()
        if self.unlabelled and not self.teacher:
            raise InputError(f"--unlabelled {self.unlabelled}: only a teacher can judge these; give --teacher")
        for name in ("distill_output", "distill_feature"):
            if not self.teacher and getattr(self, name) != getattr(FinetuneOptions, name):
                flag = f"--{name.replace('_', '-')} {getattr(self, name):g}"
                raise InputError(f"{flag}: has no effect without --teacher")
        if self.unlabelled and self.rect:
            raise InputError("--rect and --unlabelled exclude each other: the images of both must have one shape")
        if self.unlabelled and self.batch_size < 0:
            raise InputError("--batch-size -1: give a number when --unlabelled images join the batches")
        if self.teacher and not (self.distill_output or self.distill_feature):
            raise InputError("--distill-output 0 and --distill-feature 0: nothing is left that --teacher could teach")
