"""The drawn images that all runs share."""

import pytest

from utils.data.shapes import draw_shapes


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with 8 training and 4 validation images."""
    folder = tmp_path_factory.mktemp("slim")
    draw_shapes(folder / "shapes", train=8, val=4, imgsz=64, seed=0)
    return folder
