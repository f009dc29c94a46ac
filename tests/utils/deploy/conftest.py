"""A small checkpoint to export."""

import shutil

import pytest
import torch
import yaml

from models.common import BN_MOMENTUM
from models.yolo import DetectionModel
from utils.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.deploy.parity import comparison_images
from utils.paths import ROOT


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory):
    """Write the v6.0 architecture at an eighth of its width, in which no two boxes are alike; return the path."""
    torch.manual_seed(0)
    config = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    model = DetectionModel({**config, "nc": 3, "width_multiple": 0.125})
    model.names = {0: "circle", 1: "square", 2: "triangle"}
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # the statistics of one batch: without, signals fade from layer to layer
    model.train()(comparison_images((96, 96), seed=9))
    for norm in norms:
        norm.momentum = BN_MOMENTUM
        norm.running_var.clamp_(min=0.1)
    for conv in model.model[-1].m:
        conv.weight.data.normal_(0, 0.1)
        conv.bias.data.normal_(0, 1)
    path = tmp_path_factory.mktemp("small") / "small.pt"
    save_checkpoint(path, finished_content(model.eval()))
    return path


@pytest.fixture
def weights(small_weights, tmp_path):
    """Return the path of a copy of it."""
    return shutil.copy(small_weights, tmp_path / "small.pt")


@pytest.fixture
def detector(small_weights):
    """Return its DetectionModel."""
    return load_checkpoint(small_weights).model
