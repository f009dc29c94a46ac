"""Where the labels of a split are cached."""

import cv2
import numpy as np
import pytest
import yaml

from utils.data.config import load_data
from utils.data.splits import load_split, require_objects
from utils.errors import InputError


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


def test_a_list_that_leads_out_of_the_set_writes_no_cache_there(write, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/list.txt").write_text("".join(f"../images/{i}.png\n" for i in range(4)))
    (tmp_path / "set/data.yaml").write_text("train: list.txt\nnames: [cat]\n")
    config = load_data(tmp_path / "set/data.yaml")
    assert [len(load_split(config, "train", progress=False)[0]) for _ in range(2)] == [4, 4]
    assert list(tmp_path.glob("*.npz")) == []
    assert len(list((tmp_path / "caches").rglob("*.npz"))) == 1


def test_missing_images_of_a_list_are_looked_for_in_three_places(write, tmp_path, monkeypatch):
    config = write(train="train.txt")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "train.txt").write_text("gone\\a.png\ngone\\b.png\nimages/0.png\n")
    with pytest.raises(InputError) as error:
        load_split(config, "train", progress=False)
    assert str(error.value).startswith("train: 2 of 3 images are not there: ")
    assert str(error.value).endswith(f"looked for from {tmp_path}, {tmp_path / 'elsewhere'}")


def test_a_rule_about_map_needs_objects(write, tmp_path, capsys):
    config = write(train="train.txt", val="val.txt", names=["cat", "dog"])
    require_objects(config, "val", "--max-drop")
    assert "--max-drop: val never shows dog" in capsys.readouterr().err
    (tmp_path / "labels/3.txt").write_text("")
    with pytest.raises(InputError, match="^--max-drop: .*: val holds not one object"):
        require_objects(config, "val", "--max-drop")
