"""The lines and the picture of the photos that got worse."""

from copy import deepcopy

import cv2
import numpy as np
import pytest
import torch

from utils.data.config import load_data
from utils.data.labels import Sample
from utils.data.samples import Samples
from utils.errors import InputError
from utils.validation.mistakes import judge
from utils.validation.worst import SHOWN, compare_networks, some_of, worst, worst_lines

CPU = torch.device("cpu")
NAMES = {0: "cell"}
LABELS = torch.tensor([[0, 5.0, 5, 25, 25], [0, 35, 5, 55, 25]])
FOUND = torch.tensor([[5.0, 5, 25, 25, 0.9, 0], [35, 5, 55, 25, 0.8, 0]])
FALSE = torch.tensor([[5.0, 35, 25, 55, 0.7, 0]])


@pytest.fixture
def photos(tmp_path):
    """Return the paths of twelve photos."""
    paths = [str(tmp_path / f"{index:02}.png") for index in range(12)]
    for path in paths:
        cv2.imwrite(path, np.full((60, 60, 3), 90, np.uint8))
    return paths


def read(picture):
    return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)


def test_nothing_lost_is_one_line_without_a_picture(photos):
    seen = {path: judge(FOUND, LABELS) for path in photos}
    assert worst(seen, seen, NAMES).lines == [
        "worst photos: the cut network has all that the dense network has, on 12 photos (confidence 0.25, IoU 0.5)"
    ]
    assert worst(seen, seen, NAMES).picture is None


def test_each_photo_that_got_worse_has_a_line_and_a_row(photos):
    before = {path: judge(FOUND, LABELS) for path in photos}
    after = {**before, photos[4]: judge(FALSE, LABELS), photos[7]: judge(FOUND[:1], LABELS)}
    found = worst(before, after, NAMES, roles=("teacher", "best"))
    where = "the best network is worse than the teacher network on 2 of 12 photos (confidence 0.25, IoU 0.5)"
    assert found.lines == [
        f"worst photos: {where}: 3 labels lost, 1 false positive gained",
        "  photo   labels  teacher found  teacher false  best found  best false",
        "  04.png       2              2              0           0           1",
        "  07.png       2              2              0           1           0",
    ]
    image = read(found.picture)
    assert len(image) > 2 * 560 and image.shape[1] > 2 * 560
    alone = worst(before, {**before, photos[7]: judge(FOUND[:1], LABELS)}, NAMES)
    assert len(read(alone.picture)) < len(image)


def test_what_got_better_is_counted_too(photos):
    less = torch.cat((FOUND[:1], FALSE))
    seen = {path: judge(FOUND, LABELS) for path in photos}
    before = {**seen, photos[2]: judge(less, LABELS), photos[3]: judge(FOUND[:0], LABELS)}
    lines = worst(before, {**seen, photos[7]: judge(FOUND[:1], LABELS)}, NAMES).lines
    assert lines[0].endswith(" on 1 of 12 photos (confidence 0.25, IoU 0.5): 1 label lost, 0 false positives gained")
    assert lines[1] == "  better on 2: 3 labels found, 1 false positive gone"
    assert lines[2].startswith("  photo ")
    assert worst(before, seen, NAMES).lines[1:] == [lines[1]]


def test_at_most_ten_are_shown(photos):
    before, after = ({path: judge(found, LABELS) for path in photos} for found in (FOUND, FOUND[:0]))
    found = worst(before, after, NAMES)
    assert "on 12 of 12 photos" in found.lines[0] and len(found.lines) == 2 + SHOWN
    assert [line.split()[0] for line in found.lines[2:]] == [f"{index:02}.png" for index in range(SHOWN)]


def test_photos_that_are_gone_have_lines_all_the_same(photos, tmp_path):
    for file in tmp_path.glob("*.png"):
        file.unlink()
    found = worst(*({path: judge(seen, LABELS) for path in photos} for seen in (FOUND, FOUND[:0])), NAMES)
    assert len(found.lines) == 2 + SHOWN and found.picture is None


def test_of_many_photos_the_same_part_is_drawn():
    samples = Samples.of([Sample(f"{index}.png", (8, 8), np.zeros((0, 5)), None) for index in range(30)])
    part, note = some_of(samples, many=20, part=10)
    assert len(part) == 10 and note == ", drawn from 30" and [*part.paths] == [*some_of(samples, 20, 10)[0].paths]
    assert some_of(samples, many=30) == (samples, "")


def test_networks_are_compared_on_the_val_photos(tiny_cfg, make_lively, drawn_data, label_by):
    dense = make_lively(tiny_cfg)
    dense.names = {0: "blue", 1: "green", 2: "red"}
    config = load_data(label_by(dense))
    blind = deepcopy(dense)
    for layer in blind.model[-1].m:
        torch.nn.init.constant_(layer.bias, -9.0)
    itself = compare_networks(dense, deepcopy(dense), config, device=CPU, imgsz=64)
    assert len(itself.lines) == 1 and "on 4 photos" in itself.lines[0] and itself.picture is None
    found = compare_networks(dense, blind, config, device=CPU, imgsz=64)
    rows = [line.split() for line in found.lines[3:]]
    assert "0 false positives gained" in found.lines[0] and rows and all(row[4:] == ["0", "0"] for row in rows)
    assert read(found.picture) is not None


def test_other_classes_are_refused(tiny_model, drawn_data):
    config, other = load_data(drawn_data), deepcopy(tiny_model)
    other.names = {0: "cat", 1: "dog", 2: "cow"}
    with pytest.raises(InputError, match="cat"):
        compare_networks(tiny_model, other, config, device=CPU, imgsz=64)


def test_whatever_goes_wrong_is_one_line(photos, tmp_path):
    def fail():
        raise InputError("val.yaml: no val images\nmore")

    assert worst_lines(tmp_path / "worst.jpg", fail) == [
        "worst photos: they could not be shown: val.yaml: no val images"
    ]
    seen = ({photos[0]: judge(found, LABELS)} for found in (FOUND, FOUND[:0]))
    assert worst_lines(tmp_path / "worst.jpg", lambda: worst(*seen, NAMES))[-1] == f"  picture: {tmp_path}/worst.jpg"
    assert read((tmp_path / "worst.jpg").read_bytes()) is not None
