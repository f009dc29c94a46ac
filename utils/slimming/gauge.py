"""What is known of a checkpoint, as it lies on disk: accuracy, loss, size, time and filter norms."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from models.cost import count_gflops, count_parameters
from utils.benchmark.latency import milliseconds
from utils.boxes.loss import DetectionLoss
from utils.cli.device import select_device
from utils.data.choice import match_classes
from utils.data.config import DataConfig, label_rules, load_data
from utils.data.splits import require_objects
from utils.files.checkpoint import load_checkpoint
from utils.slimming.report.norms import filter_norms
from utils.validation.measure import check_classes, validate

VAL_BATCH = 32  # images in a validation batch; the accuracy does not depend on it


@dataclass(frozen=True)
class Gauge:
    """Measures checkpoints, all in the same way."""

    config: DataConfig
    hyp: dict
    device: torch.device
    imgsz: int
    workers: int
    runtime: str  # what goal_ms is measured in, or "" when no time is asked for

    @classmethod
    def of(cls, options, hyp, model):
        """Return the Gauge of SlimOptions for a DetectionModel and what is made of it; hyp: {key: number}.

        Raises InputError when the model and the data do not belong together.
        """
        config = match_classes(load_data(options.data, label_rules(options)), model.names)
        check_classes(model, config)
        for rule in ("max_drop", "min_map"):
            if getattr(options, rule) is not None:
                require_objects(config, "val", f"--{rule.replace('_', '-')}")
        imgsz = model.fitting_size(options.imgsz)
        runtime = options.runtime if options.latency_ms is not None else ""
        return cls(config, hyp, select_device(options.device), imgsz, options.workers, runtime)

    def __call__(self, file, folder):
        """Return the measurements of a checkpoint as a plain dict; "file" in it is relative to the folder."""
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
        found = {
            "file": str(Path(file).relative_to(folder)),
            "map50": evaluation.map50,
            "map": evaluation.map,
            "loss": loss if math.isfinite(loss) else None,
            "parameters": count_parameters(model),
            "gflops": count_gflops(model, self.imgsz),
            "bytes": Path(file).stat().st_size,
            "ms": ms,
            "l1": filter_norms(model),
        }
        if self.runtime:
            found["goal_ms"] = ms if self.runtime == "torch" else self.milliseconds(model, self.runtime)
        return found

    def milliseconds(self, model, runtime):
        """Return the milliseconds an image of a DetectionModel."""
        return milliseconds(model, self.imgsz, runtime)
