"""Small trainings of each script on drawn images, for benchmarks that disturb them."""

from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from models.yolo import DetectionModel
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.finetuning.finetune import finetune
from utils.finetuning.options import FinetuneOptions
from utils.sparsity.options import SparsityOptions
from utils.sparsity.train_sparsity import train_sparsity
from utils.training.options import TrainOptions
from utils.training.train import train

TINY = {
    "nc": 5,
    "depth_multiple": 0.33,
    "width_multiple": 0.25,
    "anchors": [[8, 8, 16, 16], [24, 24, 40, 40]],
    "backbone": [
        [-1, 1, "Conv", [64, 6, 2, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "C3", [64]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
    ],
    "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]],
}
EPOCHS = 4


@dataclass(frozen=True)
class Case:
    """A training of one script, with so many data workers and processes."""

    script: str
    workers: int
    processes: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.script}, {self.workers} workers, {self.processes} process{'es' * (self.processes > 1)}"


CASES = [
    Case(script, workers, processes)
    for workers, processes in ((0, 1), (2, 1), (0, 2))
    for script in ("train.py", "train_sparsity.py", "finetune_pruned.py")
]


def save_network(data: Path, file: Path) -> None:
    """Write an untrained network for the classes of a data yaml."""
    torch.manual_seed(0)
    model = DetectionModel(TINY)
    model.names = dict(enumerate(yaml.safe_load(data.read_text())["names"].values()))
    save_checkpoint(file, finished_content(model))


def train_case(case: Case, folder: Path, resume: str) -> None:
    """Begin or resume the training of a Case in the working folder."""
    common = {
        "data": str(folder / "shapes/shapes.yaml"),
        "imgsz": 64,
        "batch_size": 4,
        "epochs": EPOCHS,
        "workers": case.workers,
        "device": "cpu",
        "project": "runs",
        "save_period": 1,
        "weights": str(folder / ("pruned.pt" if case.script == "finetune_pruned.py" else "dense.pt")),
    }
    given = {"resume": resume} if resume else common
    if case.script == "train.py":
        train(TrainOptions(**given))
    elif case.script == "train_sparsity.py":
        sparse = {"st": True, "sr": "auto", "target": 0.3, "preview_period": 1}
        train_sparsity(SparsityOptions(**given, **({} if resume else sparse)))
    else:
        teaching = {} if resume else {"teacher": str(folder / "dense.pt")}
        finetune(FinetuneOptions(**given, **teaching))
