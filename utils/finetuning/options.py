"""The flags of finetune_pruned.py."""

from dataclasses import dataclass
from typing import ClassVar

from utils.cli.options import like, option
from utils.teaching.options import TeachingOptions
from utils.training.options import COMPARED, TrainOptions


@dataclass
class FinetuneOptions(TeachingOptions):
    """Options of finetune_pruned.py: those of train.py and who teaches."""

    cfg_decides: ClassVar[bool] = False
    cfg: str = option("", COMPARED)
    optimizer: str = like(TrainOptions, "optimizer", default="auto")
