"""The evaluation of a checkpoint as it lies on disk: accuracy, loss, size, time and filter norms."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.benchmark.latency import measure_latency, milliseconds
from utils.boxes.loss import DetectionLoss
from utils.cli.device import select_device
from utils.data.choice import match_classes
from utils.data.config import DataConfig, label_rules, load_data
from utils.data.splits import require_objects
from utils.files.checkpoint import load_checkpoint
from utils.slimming.options import MAP_RULES, SlimOptions, flags
from utils.slimming.report.norms import filter_norms
from utils.slimming.state import Measurement
from utils.validation.measure import check_classes, validate

VAL_BATCH = 32  # images in a validation batch; the accuracy does not depend on it


@dataclass(frozen=True)
class CheckpointEvaluator:
    """Measures checkpoints, all in the same way."""

    config: DataConfig
    hyp: dict
    device: torch.device
    imgsz: int
    workers: int
    runtime: str  # what goal_ms is measured in, or "" when no time is asked for
    latency: Callable[..., dict] = measure_latency

    @classmethod
    def of(
        cls,
        options: SlimOptions,
        hyp: dict[str, float],
        model: DetectionModel,
        latency: Callable[..., dict] = measure_latency,
    ) -> "CheckpointEvaluator":
        """Return the evaluator of a model and what is made of it; latency: how networks are timed.

        Raises InputError when the model and the data do not belong together, and when a rule rests on the mAP of images
        without an object.
        """
        config = match_classes(load_data(options.data, label_rules(options)), model.names)
        check_classes(model, config)
        for name in MAP_RULES:
            if getattr(options, name) is not None:
                require_objects(config, "val", flags([name]), max(options.workers, 1))
        imgsz = model.fitting_size(options.imgsz)
        runtime = options.runtime if options.latency_ms is not None else ""
        return cls(config, hyp, select_device(options.device), imgsz, options.workers, runtime, latency)

    def measure(self, file: Path, folder: Path) -> Measurement:
        """Return the Measurement of a checkpoint in the folder of a run."""
        model = load_checkpoint(file).model
        criterion = DetectionLoss(model.to(self.device), self.hyp, self.imgsz)
        evaluation = validate(
            model,
            self.config,
            device=self.device,
            imgsz=self.imgsz,
            batch_size=VAL_BATCH,
            workers=self.workers,
            progress=False,
            loss=criterion,
        )
        loss = sum(evaluation.losses)
        model.cpu()
        ms = self.milliseconds(model, "torch")
        return Measurement(
            file=str(Path(file).relative_to(folder)),
            map50=evaluation.map50,
            map=evaluation.map,
            loss=loss if math.isfinite(loss) else None,
            parameters=count_parameters(model),
            gflops=count_gflops(model, self.imgsz),
            bytes=Path(file).stat().st_size,
            ms=ms,
            l1=filter_norms(model),
            goal_ms=self.goal_milliseconds(model, ms),
        )

    def milliseconds(self, model: DetectionModel, runtime: str) -> float:
        """Return the milliseconds an image of a network in a runtime."""
        return milliseconds(model, self.imgsz, runtime, latency=self.latency)

    def goal_milliseconds(self, model: DetectionModel, ms: float) -> float | None:
        """Return the milliseconds in the runtime of the goal, which are `ms` in PyTorch; None without such a goal."""
        if not self.runtime:
            return None
        return ms if self.runtime == "torch" else self.milliseconds(model, self.runtime)
