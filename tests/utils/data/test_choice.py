import numpy as np
import pytest

from utils.data.choice import ChosenClasses, match_classes
from utils.data.config import load_data
from utils.data.shapes import draw_shapes
from utils.data.splits import load_split


@pytest.fixture
def config(tmp_path):
    """Four images of drawn shapes, five classes."""
    return load_data(draw_shapes(tmp_path / "shapes", train=2, val=4, imgsz=64, seed=0))


def test_labels_of_other_classes_are_left_out_and_the_rest_renumbered(config):
    said = []
    names = {0: config.names[3], 1: config.names[1]}
    chosen = match_classes(config, names, said.append)
    whole, some = load_split(config, "val", progress=False)[0], load_split(chosen, "val", progress=False)[0]
    assert len(whole) == len(some) == 4 and chosen.nc == 2 and chosen.names == names
    for before, after in zip(whole, some):
        kept = before.labels[np.isin(before.labels[:, 0], [3, 1])]
        assert np.array_equal(after.labels[:, 1:], kept[:, 1:])
        assert [{3: 0, 1: 1}[c] for c in kept[:, 0]] == after.labels[:, 0].tolist()
        if after.segments is not None:
            assert len(after.segments) == len(after.labels)
    assert sum(len(s.labels) for s in some) > 0
    assert f"the model knows 2 of its 5 classes ({names[0]}, {names[1]}); other labels do not count" in said[0]


def test_the_same_and_foreign_classes_change_nothing(config):
    silent = []
    assert match_classes(config, config.names, silent.append) is config
    assert match_classes(config, {0: "unicorn"}, silent.append) is config
    assert not isinstance(config, ChosenClasses) and silent == []
