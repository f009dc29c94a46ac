"""Photos whose head and end are whole, and whose pixels cannot be decoded."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.utils.data.items import AUGMENTED, STILL, corners, equal, find
from utils.data.dataset import DetectionDataset
from utils.data.images import read_image
from utils.data.scanning.headers import photo_shape
from utils.errors import InputError


def spoil(path):
    """Leave the head and the end of a PNG, and no pixels that can be decoded."""
    data = bytearray(Path(path).read_bytes())
    start = data.index(b"IDAT") + 4
    data[start:-12] = bytes(len(data) - start - 12)
    Path(path).write_bytes(data)
    assert photo_shape(path) and read_image(path) is None


@pytest.mark.parametrize("cache", [None, "disk", "ram"])
def test_a_validation_photo_that_cannot_be_decoded_is_left_out_and_named(samples, cache):
    spoil(samples[1].path)
    dataset = DetectionDataset(samples, 64, cache=cache, progress=False)
    with pytest.raises(InputError, match=r"1\.png: cannot be decoded"):
        dataset[1]
    assert [item[2] for item in dataset.__getitems__([0, 1, 2])] == [samples[0].path, samples[2].path]
    assert dataset.broken == [samples[1].path]


def test_a_photo_of_another_size_than_was_scanned_counts_as_broken(samples):
    cv2.imwrite(samples[1].path, np.zeros((50, 60, 3), np.uint8))
    dataset = DetectionDataset(samples, 64)
    assert len(dataset.__getitems__([0, 1])) == 1 and dataset.broken == [samples[1].path]


@pytest.mark.parametrize("cache", [None, "disk", "ram"])
@pytest.mark.parametrize("rect", [False, True], ids=["square", "rect"])
def test_in_training_the_next_photo_takes_the_place_of_a_broken_one(samples, cache, rect):
    options = {"hyp": {**STILL, "hsv_h": 0.1, "fliplr": 0.5}, "rect": rect, "cache": cache, "progress": False}
    whole = DetectionDataset(samples, 64, **options)
    for sample in (samples[5], samples[0]):
        spoil(sample.path)
    dataset = DetectionDataset(samples, 64, **options)
    order = [sample.path for sample in dataset.samples]
    for index in range(len(samples)):
        image, labels, _, _ = dataset[index]
        place = next(p % 6 for p in range(index, 12) if order[p % 6] not in (samples[0].path, samples[5].path))
        assert labels[0, 0] == dataset.labels[place][0, 0]
        assert image.shape == whole[index][0].shape if cache is None else True
        assert corners(labels, image) == pytest.approx(find(image), abs=2)
        if place == index:
            assert order[index] not in dataset.broken
    assert sorted(dataset.broken) == sorted([samples[0].path, samples[5].path])


def test_a_resumed_run_sees_the_same_items_where_photos_are_broken(samples):
    spoil(samples[3].path)
    first = DetectionDataset(samples, 64, hyp=AUGMENTED, seed=3)
    items = []
    for epoch in range(3):
        first.set_epoch(epoch)
        items.append([first[index] for index in range(6)])
    resumed = DetectionDataset(samples, 64, hyp=AUGMENTED, seed=3)
    resumed.set_epoch(2)
    assert all(equal(resumed[index], items[2][index]) for index in (5, 2, 0, 1, 3, 4))


def test_a_broken_photo_is_decoded_once(samples, capfd):
    spoil(samples[0].path)
    dataset = DetectionDataset(samples, 64, hyp=STILL)
    first = dataset[0]
    complaints = capfd.readouterr().err
    assert equal(dataset[0], first) and dataset.broken == [samples[0].path]
    assert complaints and not capfd.readouterr().err


def test_where_no_photo_can_be_decoded_training_ends(samples):
    for sample in samples:
        spoil(sample.path)
    with pytest.raises(InputError, match="cannot be decoded"):
        DetectionDataset(samples, 64, hyp=STILL)[0]
