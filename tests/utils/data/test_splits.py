"""Where the labels of a split are cached."""

import cv2
import numpy as np
import pytest
import yaml

from utils.data.config import load_data
from utils.data.splits import load_split


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a data yaml over four labelled images in one folder, and reads it."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"images/{i}.png"), np.zeros((8, 8, 3), np.uint8))
        (tmp_path / f"labels/{i}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    for name, chosen in (("train", "012"), ("val", "3")):
        (tmp_path / f"{name}.txt").write_text("".join(f"./images/{i}.png\n" for i in chosen))

    def write_yaml(**splits):
        (tmp_path / "data.yaml").write_text(yaml.safe_dump({"path": str(tmp_path), "names": ["cat"], **splits}))
        return load_data(tmp_path / "data.yaml")

    return write_yaml


def test_lists_of_images_in_one_folder_have_a_cache_each(write, tmp_path):
    config = write(train="train.txt", val="val.txt")
    assert [len(load_split(config, split, progress=False)[0]) for split in ("train", "val")] == [3, 1]
    assert {file.name for file in tmp_path.glob("*.npz")} == {"labels.train.cache.npz", "labels.val.cache.npz"}


def test_splits_that_are_the_same_folder_share_a_cache(write, tmp_path):
    config = write(train="images", val="images")
    assert [len(load_split(config, split, progress=False)[0]) for split in ("train", "val")] == [4, 4]
    assert [file.name for file in tmp_path.glob("*.npz")] == ["labels.cache.npz"]
