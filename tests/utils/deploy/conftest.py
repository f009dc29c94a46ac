"""A small checkpoint to export, and networks of the model zoo before and after pruning."""

import math
import shutil

import numpy as np
import pytest
import torch
import yaml

from models.common import BN_MOMENTUM
from models.yolo import DetectionModel
from utils.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.deploy.parity import comparison_images
from utils.paths import ROOT
from utils.pruning.channels import trace_channels
from utils.pruning.rebuild import rebuild


def lively(config):
    """Return the network of a model mapping, seeded, in which no two boxes are alike and no layer is all but silent."""
    torch.manual_seed(0)
    model = DetectionModel(config)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # the statistics of one batch: without, signals fade from layer to layer
    side = math.ceil(96 / model.size_multiple) * model.size_multiple
    model.train()(comparison_images((side, side), seed=9))
    for norm in norms:
        norm.momentum = BN_MOMENTUM
        norm.running_var.clamp_(min=0.1)
    for conv in model.model[-1].m:
        conv.weight.data.normal_(0, 0.1)
        conv.bias.data.normal_(0, 1)
    return model.eval()


def narrowed(model, step):
    """Return the network with a random number of channels of each group, in multiples of `step`, seeded."""
    rng, graph = np.random.default_rng(0), trace_channels(model)
    masks = {}
    for group in graph.free_groups:
        masks[group.name] = np.arange(group.width) < step * rng.integers(1, max(group.width // step, 1) + 1)
    return rebuild(model, graph, masks)


@pytest.fixture(scope="session")
def make_lively():
    """Return the function that makes a network from a model mapping."""
    return lively


@pytest.fixture(scope="session")
def make_narrow():
    """Return the function that prunes one to uneven widths."""
    return narrowed


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory):
    """Write the v6.0 architecture at an eighth of its width, in which no two boxes are alike; return the path."""
    config = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    model = lively({**config, "nc": 3, "width_multiple": 0.125})
    model.names = {0: "circle", 1: "square", 2: "triangle"}
    path = tmp_path_factory.mktemp("small") / "small.pt"
    save_checkpoint(path, finished_content(model))
    return path


@pytest.fixture
def weights(small_weights, tmp_path):
    """Return the path of a copy of it."""
    return shutil.copy(small_weights, tmp_path / "small.pt")


@pytest.fixture
def detector(small_weights):
    """Return its DetectionModel."""
    return load_checkpoint(small_weights).model
