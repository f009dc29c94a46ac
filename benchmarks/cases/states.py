"""Checkpoints to go on from whose state was tampered with."""

from functools import partial
from pathlib import Path

import torch

from benchmarks.cases.values import ODD, TENSORS, TINY, saved
from models.yolo import DetectionModel
from utils.boxes.loss import DetectionLoss
from utils.files.checkpoint import load_checkpoint
from utils.files.hyp import load_hyp
from utils.files.paths import RunFolder
from utils.training.checkpoints import restore, unfinished_content
from utils.training.optim import Schedule, build_optimizer
from utils.training.run import Run, RunSettings

STATE = ("epoch", "updates", "best_fitness", "optimizer", "state")
INNER = ("step", "best_epoch", "scaler", "hooks", "part", "setbacks")


def new_run():
    """Return a Run of a tiny network, one step old."""
    model = DetectionModel(TINY)
    schedule = Schedule(5, 4, 16, 0.01, 0.1, 0.9, 0.0, 0.9, 0.01)
    optimizer = build_optimizer(model, "SGD", 0.01, 0.9, 5e-4)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    loss = DetectionLoss(model, load_hyp("hyp.scratch-low.yaml"), 64)
    return Run(model, optimizer, loss, schedule, RunFolder(Path("run")), torch.device("cpu"), RunSettings(64))


def resume(file):
    """Put a new run into the state that a file holds."""
    run = new_run()
    run.folder.weights.mkdir(parents=True, exist_ok=True)
    restore(run, load_checkpoint(file), [])


def state_cases():
    """Yield (name, bytes of a checkpoint to go on from, or a function that makes them)."""
    content = unfinished_content(new_run(), [], best_fitness=0.5, opt={}, date="")
    yield "good", saved(content)
    for kind, value in {**ODD, **TENSORS}.items():
        for key in STATE:
            yield f"{key}: {kind}", partial(saved, {**content, key: value})
        for key in INNER:
            yield f"state {key}: {kind}", partial(saved, {**content, "state": {**content["state"], key: value}})
        for key in ("state", "param_groups"):
            yield (
                f"optimizer {key}: {kind}",
                partial(saved, {**content, "optimizer": {**content["optimizer"], key: value}}),
            )
