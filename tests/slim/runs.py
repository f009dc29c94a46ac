"""Runs of slim.py that take seconds: a tiny network, and the settings around it."""

import torch

from models.yolo import DetectionModel
from utils.data.config import load_data
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.slimming.options import SlimOptions

TINY = {
    "nc": 5,
    "depth_multiple": 0.33,
    "width_multiple": 0.125,
    "anchors": [[8, 8, 16, 16], [24, 24, 40, 40]],
    "backbone": [
        [-1, 1, "Conv", [128, 6, 2, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "C3", [128]],
        [-1, 1, "Conv", [256, 3, 2]],
        [-1, 1, "Conv", [256, 3, 2]],
    ],
    "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]],
}


def start(place, name, config=TINY):
    """Write a network that was not trained, but whose gammas differ; return its path."""
    torch.manual_seed(0)
    model = DetectionModel(config)
    model.names = load_data(place / "shapes/shapes.yaml").names
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bn.weight"):
                parameter.uniform_(0.5, 1.5)
    save_checkpoint(place / name, finished_content(model))
    return str(place / name)


def settings(place, folder, weights=None, **more):
    """Return SlimOptions of a run of a few seconds."""
    values = {
        "weights": [weights or start(place, "start.pt")],
        "data": str(place / "shapes/shapes.yaml"),
        "imgsz": 64,
        "batch_size": 4,
        "workers": 0,
        "device": "cpu",
        "sparse_epochs": 3,
        "finetune_epochs": 2,
        "round": 2,
        "min_channels": 2,
        "hyp": "hyp.shapes.yaml",
        "project": str(folder),
        "share": 0.3,
    }
    return SlimOptions(**{**values, **more})
