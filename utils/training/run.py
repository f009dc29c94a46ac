"""What changes during training: the settings of a run, its state, and the numbers of an epoch and of a batch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from utils.boxes.loss import DetectionLoss
from utils.files.paths import RunFolder
from utils.training.distributed import ProcessGroup
from utils.training.optim import ModelEMA, Schedule

SLOWER = 0.25  # times the learning rate, each time that a run is set back


@dataclass(frozen=True)
class RunSettings:
    """What a run was asked for; nothing of it changes."""

    imgsz: int  # longest side of the images in pixels
    seed: int = 0
    amp: torch.dtype | None = None  # the type of mixed precision
    multi_scale: bool = False
    patience: int = 0  # epochs without a better fitness after which the run stops; 0: never
    loss_gain: float = 1.0  # images that went into one image of a batch


@dataclass(kw_only=True)
class RunState:
    """How far a run is: with weights and optimizer all that a resumed run needs."""

    epoch: int = 0
    step: int = 0  # optimizer steps done
    best_fitness: float = 0.0
    best_epoch: int = 0  # patience counts from it
    stop: bool = False  # the epoch is the last one
    setbacks: int = 0  # times that an epoch began anew because numbers were not finite
    skipped: int = 0  # steps in a row that were left out for that


@dataclass
class BatchNumbers:
    """What is said of one batch."""

    index: int = 0  # within the epoch
    labelled: int = 0  # images with labels
    instances: int = 0  # labels
    size: int = 0  # longest side in pixels, as the network sees it
    targets: Any = None  # [N, 6] of the images at hand, which are a piece of the batch where memory is short
    divisors: Any = None  # what their losses are divided by, if not by their own matches
    losses: Any = None  # [3] box, objectness and class, of their labels


@dataclass
class Run(RunState):
    """The parts of a training, its state, and the numbers of the epoch. The model is the bare one, never wrapped."""

    model: Any  # DetectionModel
    optimizer: torch.optim.Optimizer
    loss: DetectionLoss
    schedule: Schedule
    folder: RunFolder
    device: torch.device
    settings: RunSettings
    ema: Any = None  # built from the model when not given
    processes: ProcessGroup = ProcessGroup()
    say: Callable[[str], object] = print  # shows the user a line
    measure: Any = None  # model → its Evaluation on the val images, in rank 0; every process calls it. None: no images
    batch: BatchNumbers = field(default_factory=BatchNumbers)
    lr: float = 0.0  # of the weights
    images_at_once: int = 0  # that go through the network together, as far as memory reaches; 0: all of a batch
    bad_losses: int = 0  # batches of this step whose loss was not finite
    part: dict[str, Any] = field(default_factory=dict)  # of this epoch that was done when the run was stopped within it
    first_batch: int = 0  # of this epoch that is still to do
    counted: int = 0  # batches of this epoch whose losses are in the mean
    losses: Any = None  # [3] box, objectness, class: mean over the batches of this epoch
    evaluation: Any = None  # utils.validation.evaluate.Evaluation of this epoch
    improved: bool = False  # whether its fitness is the best so far
    log: dict[str, float] = field(default_factory=dict)  # numbers of this epoch
    scaler: Any = None
    written: set = field(default_factory=set)  # paths of the checkpoints that are of this run, not of an earlier one

    def __post_init__(self):
        """Build what follows from the other fields."""
        self.total_steps = self.schedule.total_steps()  # planned for the whole run
        self.ema = self.ema or ModelEMA(self.model)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.amp is torch.float16)

    @property
    def epochs(self) -> int:
        """Planned epochs."""
        return self.schedule.epochs

    def autocast(self) -> torch.autocast:
        """Return the context in which networks compute in the run's precision."""
        return torch.autocast(self.device.type, self.settings.amp, enabled=self.settings.amp is not None)

    @property
    def place(self) -> str:
        """Where the run is, in words."""
        return f"epoch {self.epoch}, batch {self.batch.index}"

    @property
    def rate_factor(self) -> float:
        """What the planned learning rates are multiplied by."""
        return SLOWER**self.setbacks

    @property
    def last_epoch(self) -> bool:
        """Whether no epoch follows this one."""
        return self.stop or self.patience_over or self.epoch + 1 >= self.epochs

    @property
    def patience_over(self) -> bool:
        """Whether the last evaluation came too long after the best one."""
        patience = self.settings.patience
        return bool(patience and self.evaluation and self.epoch - self.best_epoch >= patience)


def all_finite(model: torch.nn.Module) -> bool:
    """Tell whether all weights and statistics of a model are finite."""
    return all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


def record_evaluation(run: Any, evaluation: Any) -> None:
    """Write the evaluation into the log; decide whether it is the best so far."""
    run.evaluation, run.improved = evaluation, False
    if evaluation is None:
        return
    names = ("metrics/precision", "metrics/recall", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95")
    run.log |= dict(zip(names, (evaluation.precision, evaluation.recall, evaluation.map50, evaluation.map)))
    if evaluation.losses is not None:
        run.log |= dict(zip(("val/box_loss", "val/obj_loss", "val/cls_loss"), evaluation.losses))
    # Equal counts: early epochs all score 0.
    run.improved = evaluation.fitness >= run.best_fitness and all_finite(run.ema.model)
    if run.improved:
        run.best_fitness, run.best_epoch = evaluation.fitness, run.epoch
