"""The pictures that come with the project: read as any, and labelled as they were drawn."""

import runpy
import shutil

import numpy as np
import pytest
import yaml

from utils.data.config import load_data
from utils.data.images import read_image
from utils.data.labels import Counts
from utils.data.splits import load_split
from utils.files.paths import ROOT

DRAWING = runpy.run_path(str(ROOT / "data/draw_images.py"))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Return (samples, Counts) of a copy of the pictures and labels, with the demo's data definition."""
    folder = tmp_path_factory.mktemp("data")
    for kind in ("images", "labels"):
        shutil.copytree(ROOT / "data" / kind, folder / kind)
    definition = yaml.safe_load((ROOT / "data/shapes.yaml").read_text())
    file = folder / "shapes.yaml"
    file.write_text(yaml.safe_dump({**definition, "path": str(folder), "train": "images", "val": "images"}))
    return load_split(load_data(file), "val")


def test_all_are_read_with_their_labels(shipped):
    samples, counts = shipped
    assert counts == Counts(found=len(DRAWING["SEEDS"]))
    assert set(np.concatenate([sample.labels[:, 0] for sample in samples])) == {0, 1, 2, 3, 4}


def corners(x, y, w, h):
    """Return left, top, right and bottom in whole pixels of a normalised box."""
    sides = np.array([DRAWING["WIDTH"], DRAWING["HEIGHT"]] * 2)
    return (np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) * sides).astype(int)


def test_pictures_and_labels_are_what_the_script_draws(shipped):
    for sample, seed in zip(shipped[0], DRAWING["SEEDS"], strict=True):
        image, labels = DRAWING["draw_scene"](seed)
        assert sample.labels == pytest.approx(labels, abs=1e-6)
        photo = read_image(sample.path)
        for _, x, y, w, h in labels:
            left, top, right, bottom = corners(x, y, w, h)
            colours = [picture[top:bottom, left:right].mean((0, 1)) for picture in (photo, image)]
            assert colours[0] == pytest.approx(colours[1], abs=8)  # the JPEG file loses grain, not colour


def test_they_are_small_enough_to_ship():
    files = [*(ROOT / "data/images").iterdir(), *(ROOT / "data/labels").iterdir()]
    assert sum(file.stat().st_size for file in files) < 300_000
