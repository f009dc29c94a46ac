"""Tiny networks and the optional folder of real data beside the project."""

import pytest
import torch
import yaml

from utils.files.paths import ROOT

SHARED = ROOT.parent / "shared"


@pytest.fixture
def tiny_config():
    """The v6.0 architecture at an eighth of its width, one bottleneck a block, two classes: 0.5 M parameters."""
    config = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    return {**config, "nc": 2, "width_multiple": 0.125, "depth_multiple": 0.33}


@pytest.fixture
def shared_data():
    """The folder of real data and weights; tests that want it are skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no folder of real data beside the project")
    return SHARED / "data"


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small run fastest on one thread; runs of whole modules too, which are to be compared to the bit."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random numbers."""
    torch.manual_seed(0)
