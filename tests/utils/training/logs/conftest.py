"""A Run of which only what is logged is there."""

from types import SimpleNamespace

import pytest
import torch

from utils.files.paths import RunFolder
from utils.training.run import BatchNumbers


def run_state(tmp_path, model=None, epoch=0):
    return SimpleNamespace(
        model=model,
        ema=SimpleNamespace(model=model),
        device=torch.device("cpu"),
        epoch=epoch,
        epochs=3,
        folder=RunFolder(tmp_path),
        losses=torch.tensor([0.1, 0.2, 0.3]),
        batch=BatchNumbers(instances=7, size=64),
        schedule=SimpleNamespace(batches=2),
        log={"train/box_loss": 0.123456789, "x/lr0": 0.1, "extra": 5.0},
        evaluation=SimpleNamespace(map50=0.5, map=0.25),
    )


@pytest.fixture
def make_state(tmp_path):
    """Return the function that makes one: (model, epoch)."""
    return lambda model=None, epoch=0: run_state(tmp_path, model, epoch)
