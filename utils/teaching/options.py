"""The flags that say who teaches, and how much."""

from dataclasses import dataclass
from typing import ClassVar

from utils.cli.options import option
from utils.errors import InputError
from utils.training.options import TrainOptions

AUTO, NONE = "auto", "none"  # --teacher
TAUGHT_BY = "taught_by"  # key in the yaml of a network: the file of its teacher, or of the network it was cut from
GAINS = ("distill_output", "distill_feature")


@dataclass
class TeachingOptions(TrainOptions):
    """Options of train.py, and a teacher."""

    starts_taught: ClassVar[bool] = False  # whether the network that training begins with may teach what becomes of it

    teacher: str = option(
        AUTO,
        "checkpoint whose outputs and features are learned too, while it does better; auto: the network before "
        "pruning, if known; none: only labels teach",
    )
    distill_output: float = option(1.0, "gain of the loss towards the teacher's outputs; 0: without", minimum=0)
    distill_feature: float = option(0.1, "gain of the loss towards the teacher's features; 0: without", minimum=0)
    unlabelled: str = option(
        "", "folder of images without labels, which only the teacher judges; as many join each batch"
    )

    @property
    def goes_on(self) -> bool:
        """Whether a detector that knows the classes of the data is taken further as it is, rather than trained anew."""
        return not self.classic

    @property
    def names_teacher(self) -> bool:
        """Whether --teacher is a file."""
        return self.teacher not in (AUTO, NONE)

    @property
    def needs_teacher(self) -> list[str]:
        """The flags that are given and have no effect without a teacher."""
        usual = TeachingOptions
        given = [name for name in GAINS if getattr(self, name) != getattr(usual, name)]
        flags = [f"--{name.replace('_', '-')} {getattr(self, name):g}" for name in given]
        return [f"--unlabelled {self.unlabelled}"] * bool(self.unlabelled) + flags

    def __post_init__(self) -> None:
        """Keep the anchors under a teacher: its outputs mean something with its own only."""
        self.noautoanchor = self.noautoanchor or self.names_teacher

    def check(self) -> None:
        """Raise InputError for values that are wrong alone or exclude each other."""
        super().check()
        if not self.teacher:
            raise InputError("--teacher '': must be a checkpoint, auto, or none for labels alone")
        if self.teacher == NONE and self.needs_teacher:
            raise InputError(f"{self.needs_teacher[0]}: has no effect with --teacher none; leave one of the two out")
        if self.unlabelled and self.rect:
            raise InputError("--rect and --unlabelled exclude each other: the images of both must have one shape")
        if self.unlabelled and self.batch_size < 0:
            raise InputError("--batch-size -1: give a number when --unlabelled images join the batches")
        if self.teacher != NONE and not (self.distill_output or self.distill_feature):
            raise InputError("--distill-output 0 and --distill-feature 0: nothing is left to teach; say --teacher none")
