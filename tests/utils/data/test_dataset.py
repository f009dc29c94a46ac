"""Items of the data set: where their objects are, what they depend on, and the caches."""

import math
import os

import cv2
import numpy as np
import pytest
import torch

from tests.utils.data.items import AUGMENTED, SIZES, STILL, corners, equal, find
from utils.data.caching.disk import npy_path
from utils.data.dataset import DetectionDataset, batch_shapes
from utils.data.labels import Sample


@pytest.mark.parametrize(
    "options",
    [{}, {"rect": True, "batch_size": 2, "pad": 0.5}, {"hyp": STILL}, {"hyp": STILL, "rect": True}],
    ids=["square", "rect", "train", "train rect"],
)
def test_labels_are_where_the_pixels_are(samples, options):
    dataset = DetectionDataset(samples, 64, **options)
    for index in range(len(dataset)):
        image, labels, path, _ = dataset[index]
        assert (image.dtype, labels.dtype, path) == (torch.uint8, torch.float32, dataset.samples[index].path)
        assert corners(labels, image) == pytest.approx(find(image), abs=2)


def test_augmented_labels_are_where_the_pixels_are(samples):
    hyp = {**AUGMENTED, "mosaic": 0.0, "hsv_h": 0.0, "hsv_s": 0.0}
    dataset = DetectionDataset(samples, 96, hyp=hyp)
    for epoch in range(5):
        dataset.set_epoch(epoch)
        for index in range(len(dataset)):
            image, labels, _, shapes = dataset[index]
            assert shapes is None
            assert corners(labels, image) == pytest.approx(find(image), abs=3)


def test_a_validation_item_by_hand(samples):
    image, labels, _, shapes = DetectionDataset(samples, 64)[0]  # 50×100 becomes 32×64 with 16 rows above and below
    assert image.shape == (3, 64, 64)
    assert shapes == ((50, 100), ((0.64, 0.64), (0, 16)))
    assert labels.tolist() == [pytest.approx([0, 0.5, 0.5, 0.5, 0.25])]
    assert image[:, :16].unique().tolist() == [114]


def test_short_sides_are_rounded_up_and_the_scale_says_so(samples):
    samples[0].shape = (50, 99)
    cv2.imwrite(samples[0].path, np.zeros((50, 99, 3), np.uint8))
    image, _, _, shapes = DetectionDataset(samples[:1], 64)[0]  # 50·64/99 = 32.3 becomes 33: 31 rows are left
    assert shapes == ((50, 99), ((33 / 50, 64 / 99), (0, 15.5)))
    assert (image[0, :, 0] == 114).sum() == 31


@pytest.mark.parametrize("imgsz", [192, 416])
@pytest.mark.parametrize("batch_size", [1, 16])
def test_validation_batches_are_those_of_the_public_arithmetic(tmp_path, imgsz, batch_size):
    samples, rng = [], np.random.default_rng(0)
    for index, (height, width) in enumerate([(187, 301), (85, 174), (333, 250), (87, 29), (427, 640)]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), rng.integers(0, 255, (height, width, 3), np.uint8))
        samples.append(Sample(str(tmp_path / f"{index}.png"), (height, width), np.zeros((0, 5), np.float32)))
    dataset = DetectionDataset(samples, imgsz, rect=True, pad=0.5, batch_size=batch_size)
    for index, sample in enumerate(dataset.samples):
        (height, width), canvas = sample.shape, dataset.item_shape(index)
        ratio = imgsz / max(height, width)
        size = math.ceil(width * ratio), math.ceil(height * ratio)
        resized = cv2.resize(
            cv2.imread(sample.path), size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        )
        left, top = (canvas[1] - size[0]) / 2, (canvas[0] - size[1]) / 2
        expected = np.full((*canvas, 3), 114, np.uint8)
        x, y = round(left - 0.1), round(top - 0.1)
        expected[y : y + size[1], x : x + size[0]] = resized
        image, _, _, shapes = dataset[index]
        assert np.array_equal(image.numpy(), expected[..., ::-1].transpose(2, 0, 1))
        assert shapes == ((height, width), ((size[1] / height, size[0] / width), (left, top)))


def test_an_image_that_exceeds_its_canvas_by_a_pixel_is_fitted_once_more(samples):
    samples[0].shape = (60, 187)
    cv2.imwrite(samples[0].path, np.zeros((60, 187, 3), np.uint8))
    image, _, _, shapes = DetectionDataset(samples[:1], 192)[0]  # 187 · (192 / 187) becomes 193 in double precision
    assert image.shape == (3, 192, 192)
    assert shapes[1][0] == pytest.approx((62 / 60 * 192 / 193, 192 / 187))


def test_validation_shrinks_by_area_and_training_linearly(samples):
    image = np.zeros((80, 80, 3), np.uint8)
    image[::4, ::4] = 240  # one pixel of sixteen, away from the middle that linear resizing looks at
    cv2.imwrite(samples[2].path, image)
    assert DetectionDataset(samples[2:3], 20)[0][0].unique().tolist() == [15]
    assert DetectionDataset(samples[2:3], 20, hyp=STILL)[0][0].unique().tolist() == [0]


@pytest.mark.parametrize("size", [(128, 96), (131, 203), (304, 520)])
def test_a_large_jpeg_is_decoded_smaller_for_training_and_its_box_stays(tmp_path, size):
    image = np.zeros((*size, 3), np.uint8)
    image[size[0] // 4 : size[0] * 3 // 4, size[1] // 4 : size[1] * 3 // 4] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "a.jpg"), image)
    samples = [Sample(str(tmp_path / "a.jpg"), size, np.array([[0, 0.5, 0.5, 0.5, 0.5]], np.float32))]
    image, labels, _, _ = DetectionDataset(samples, 64, hyp=STILL)[0]
    assert corners(labels, image) == pytest.approx(find(image), abs=1.5)  # of 64
    whole, *_ = DetectionDataset(samples, 64)[0]
    assert image.shape == whole.shape
    assert (image.int() - whole.int()).abs().float().mean() < 4


def test_images_without_objects_have_no_rows(samples):
    samples[0].labels = np.zeros((0, 5), np.float32)
    for hyp in (None, AUGMENTED, STILL):
        assert DetectionDataset(samples[:1], 64, hyp=hyp)[0][1].shape == (0, 5)


def test_boxes_stay_inside_and_a_whole_image_keeps_its_size(samples):
    samples[2].labels = np.array([[0, 0.5, 0.5, 1, 1], [0, 1, 1, 1, 1]], np.float32)
    _, labels, _, _ = DetectionDataset(samples[2:3], 64)[0]
    assert labels.numpy() == pytest.approx(np.array([[0, 0.5, 0.5, 1, 1], [0, 0.75, 0.75, 0.5, 0.5]]), abs=1e-4)
    assert (labels[:, 1:3] + labels[:, 3:5] / 2 < 1).all()


def test_items_depend_on_seed_epoch_and_index_alone(samples):
    first, second = (DetectionDataset(samples, 64, hyp=AUGMENTED, seed=3) for _ in range(2))
    items = [first[index] for index in range(6)]
    np.random.default_rng(0), torch.rand(3)
    assert all(equal(second[index], items[index]) for index in (5, 0, 3, 1, 4, 2, 5))
    first.set_epoch(1)
    changed = [first[index] for index in range(6)]
    assert not any(equal(one, other) for one, other in zip(items, changed, strict=True))
    first.set_epoch(0)
    assert all(equal(first[index], items[index]) for index in range(6))
    other = DetectionDataset(samples, 64, hyp=AUGMENTED, seed=4)
    assert not any(equal(other[index], items[index]) for index in range(6))
    assert not equal(items[0], items[1])


def test_a_mosaic_holds_its_own_image(samples):
    dataset = DetectionDataset(samples, 64, hyp={**STILL, "mosaic": 1.0})
    shown = 0
    for epoch in range(30):
        dataset.set_epoch(epoch)
        shown += 4 in dataset[4][1][:, 0]
    assert shown > 10  # three of six are drawn besides, and the crop hides some


def test_validation_does_not_depend_on_the_epoch(samples):
    dataset = DetectionDataset(samples, 64)
    item = dataset[0]
    dataset.set_epoch(7)
    assert equal(dataset[0], item)


@pytest.mark.parametrize(
    ("aspects", "pad", "shapes"),
    [
        # ceil(ratio · 64 / 32 + pad) · 32 for batches of two
        ([0.4, 0.5], 0.0, [(32, 64)]),
        ([0.4, 0.51], 0.0, [(64, 64)]),
        ([0.5, 0.75], 0.5, [(64, 96)]),  # 0.75 · 2 + 0.5 = 2 and 2 + 0.5 = 2.5
        ([0.5, 0.8], 0.5, [(96, 96)]),
        ([1.25, 4], 0.0, [(64, 64)]),  # 2 / 1.25 = 1.6
        ([2, 4], 0.0, [(64, 32)]),
        ([0.5, 2], 0.0, [(64, 64)]),
        ([0.5, 0.5, 1, 1, 2], 0.0, [(32, 64), (64, 64), (64, 32)]),
    ],
)
def test_shapes_of_batches_by_hand(aspects, pad, shapes):
    assert batch_shapes(aspects, 64, 2, 32, pad) == shapes


def test_rectangular_batches_are_sorted_by_aspect(samples):
    dataset = DetectionDataset(samples, 64, rect=True, batch_size=2, stride=32)
    # Aspects h/w: 1/3, 1/2 | 0.6, 1 | 1.11, 2
    assert [sample.shape for sample in dataset.samples] == [SIZES[index] for index in (4, 0, 3, 2, 5, 1)]
    assert [tuple(dataset[index][0].shape[1:]) for index in range(6)] == [(32, 64)] * 2 + [(64, 64)] * 4
    assert dataset.shapes.tolist() == [[w, h] for h, w in (sample.shape for sample in dataset.samples)]
    assert [rows[0, 0] for rows in dataset.labels] == [4, 0, 3, 2, 5, 1]


def test_single_class_leaves_the_samples_alone(samples):
    dataset = DetectionDataset(samples, 64, single_cls=True)
    assert {float(dataset[index][1][0, 0]) for index in range(6)} == {0.0}
    assert {float(rows[0, 0]) for rows in dataset.labels} == {0.0}
    assert [sample.labels[0, 0] for sample in samples] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("cache", ["ram", "disk"])
@pytest.mark.parametrize("hyp", [None, AUGMENTED], ids=["val", "train"])
def test_cached_items_are_the_same(samples, cache, hyp):
    plain = DetectionDataset(samples, 64, hyp=hyp)
    cached = DetectionDataset(samples, 64, hyp=hyp, cache=cache, workers=2, progress=False)
    assert all(equal(plain[index], cached[index]) for index in range(6))


def test_memory_serves_images_whose_files_are_gone(samples):
    dataset = DetectionDataset(samples, 64, cache="ram", progress=False)
    item = dataset[0]
    os.remove(samples[0].path)
    assert equal(dataset[0], item)


def test_an_image_that_is_there_many_times_is_in_memory_once(samples):
    dataset = DetectionDataset([*samples, *samples], 64, cache="ram", progress=False)
    count = len(samples)
    assert all(np.shares_memory(dataset.read(i), dataset.read(i + count)) for i in range(count))
    assert not np.shares_memory(dataset.read(0), dataset.read(1))


def test_the_second_process_of_a_machine_takes_its_images_from_the_first(samples):
    names = []
    first = DetectionDataset(
        samples, 64, cache="ram", progress=False, once=lambda make: names.append(make()) or names[0]
    )
    items = [first[index] for index in range(6)]
    for sample in samples:
        os.remove(sample.path)
    second = DetectionDataset(samples, 64, cache="ram", progress=False, once=lambda make: names[0])
    assert all(equal(second[index], item) for index, item in enumerate(items))


def test_the_disk_cache_follows_its_file_and_is_no_pickle(samples):
    dataset = DetectionDataset(samples, 64, cache="disk", progress=False)
    assert np.load(npy_path(samples[2].path), allow_pickle=False).shape == (80, 80, 3)
    cv2.imwrite(samples[2].path, np.full((80, 80, 3), 9, np.uint8))
    assert dataset[2][0].unique().tolist() == [9]
    assert DetectionDataset(samples, 64, cache="disk", progress=False)[2][0].unique().tolist() == [9]
