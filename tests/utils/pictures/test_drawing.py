"""What is drawn where. How it looks was judged by eye."""

import cv2
import numpy as np
import pytest
import torch

from utils.files.paths import RunFolder
from utils.pictures.drawing import (
    BatchPainter,
    as_detections,
    colour,
    draw_box,
    draw_detections,
    text_colour,
    write_batch,
)

NAMES = {0: "cat", 1: "dog"}


def test_classes_have_colours_of_their_own():
    assert len({colour(index) for index in range(80)}) == 80


def test_text_stands_out():
    assert text_colour((255, 255, 255)) == (0, 0, 0)
    assert text_colour((0, 0, 0)) == (255, 255, 255)


def test_a_box_is_an_outline():
    image = np.zeros((40, 40, 3), np.uint8)
    draw_box(image, (10, 12, 30, 32), "", (1, 2, 3), thickness=1)
    assert image[12, 10].tolist() == image[32, 30].tolist() == [1, 2, 3]
    assert not image[14:31, 12:29].any()
    assert not image[:11].any()


def test_text_of_a_box_at_the_corner_stays_inside():
    image = np.zeros((60, 200, 3), np.uint8)
    draw_box(image, (180, 0, 199, 50), "platelets 0.87", (0, 255, 0), thickness=1)
    assert (image[2, 90:199] == (0, 255, 0)).all(1).any()


def test_the_surest_box_is_on_top():
    image = np.zeros((40, 40, 3), np.uint8)
    draw_detections(
        image, torch.tensor([[5.0, 5, 30, 30, 0.9, 1], [5, 5, 30, 30, 0.8, 0]]), NAMES, thickness=1, labels=False
    )
    assert tuple(image[5, 5].tolist()) == colour(1)


def test_targets_become_boxes_in_pixels():
    found = as_detections(torch.tensor([[1, 0, 0.5, 0.5, 0.5, 0.25]]), 2, (40, 80))
    assert [len(one) for one in found] == [0, 1]
    assert found[1].tolist() == [[20, 15, 60, 25, 1, 0]]


@pytest.mark.parametrize(("count", "size"), [(1, (40, 60)), (2, (40, 120)), (5, (80, 180)), (20, (160, 240))])
def test_a_batch_becomes_tiles_and_16_are_enough(tmp_path, count, size):
    images = torch.rand(count, 3, 40, 60)
    write_batch(tmp_path / "batch.png", images, [torch.zeros(0, 6)] * count, ["x.jpg"] * count, NAMES)
    assert cv2.imread(str(tmp_path / "batch.png")).shape == (*size, 3)


def test_colours_keep_their_channels(tmp_path):
    red = torch.zeros(1, 3, 40, 60, dtype=torch.uint8)
    red[:, 0] = 200
    write_batch(tmp_path / "batch.png", red, [torch.zeros(0, 6)], ["x.jpg"], NAMES)
    assert cv2.imread(str(tmp_path / "batch.png"))[20, 30].tolist() == [0, 0, 200]  # BGR


def test_large_batches_are_shrunk(tmp_path):
    write_batch(tmp_path / "batch.png", torch.zeros(4, 3, 1280, 1280), [torch.zeros(0, 6)] * 4, ["x.jpg"] * 4, NAMES)
    assert cv2.imread(str(tmp_path / "batch.png")).shape == (1920, 1920, 3)


def test_painter_stops_after_the_first_batches(tmp_path):
    painter = BatchPainter(RunFolder(tmp_path), NAMES, batches=1)
    targets, found = torch.tensor([[0, 0, 0.5, 0.5, 0.5, 0.25]]), [torch.tensor([[5.0, 5, 30, 30, 0.9, 1]])]
    for index in range(2):
        painter(index, torch.zeros(1, 3, 32, 32), targets, ["x.jpg"], None, found)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["val_batch0_labels.jpg", "val_batch0_pred.jpg"]
