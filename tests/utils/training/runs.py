"""Whole runs of a tiny network on drawn images, and what cuts them short."""

import torch

from utils.training.loop import Hook
from utils.training.options import TrainOptions


def options(tmp_path, drawn, tiny, kind=TrainOptions, **changes):
    """Return the options of a run of a few seconds; kind: the dataclass of its script."""
    values = {
        "weights": "",
        "cfg": str(tiny),
        "data": str(drawn),
        "imgsz": 64,
        "batch_size": 4,
        "epochs": 3,
        "workers": 0,
        "device": "cpu",
        "project": str(tmp_path / "runs"),
        "noplots": True,
        "cache": "ram",
    }
    return kind(**values | changes)


class PowerCut(Hook):
    """Ends the run in the middle of an epoch; counts optimizer steps in a state of its own."""

    def __init__(self, epoch=None):
        self.epoch, self.steps = epoch, 0

    def after_step(self, run):
        self.steps += 1
        if run.epoch == self.epoch:
            raise KeyboardInterrupt

    def state_dict(self):
        return {"steps": torch.tensor(self.steps)}

    def load_state_dict(self, state):
        self.steps = int(state["steps"])
