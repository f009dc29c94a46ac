"""Batches: their order, how they are shared out, and how items are joined."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from utils.data.dataset import DetectionDataset
from utils.data.labels import Sample
from utils.data.loader import EpochBatches, QuadCollate, collate, make_loader
from utils.errors import InputError
from utils.files.hyp import load_hyp


@pytest.fixture
def dataset(tmp_path, write_image):
    """Return seven augmented items of 32×32."""
    labels = np.array([[0, 0.5, 0.5, 0.5, 0.5]], np.float32)
    files = [write_image(tmp_path / f"{index}.png", 32, 40, seed=index) for index in range(7)]
    samples = [Sample(str(file), (32, 40), labels + (index, 0, 0, 0, 0)) for index, file in enumerate(files)]
    return DetectionDataset(samples, 32, hyp=load_hyp("hyp.scratch-low.yaml"))


def plain(number, epoch=0, rect=False, batch_size=None):
    """Return what EpochBatches asks of a data set."""

    class Numbers(SimpleNamespace):
        def __len__(self):
            return number

    return Numbers(epoch=epoch, rect=rect, batch_size=batch_size)


def item(rows, shade, path="a.png", side=2):
    return torch.full((3, side, side), shade, dtype=torch.uint8), torch.tensor(rows, dtype=torch.float32), path, None


def test_joining_by_hand():
    two, none, one = [[1, 0.5, 0.5, 0.2, 0.2], [0, 0.1, 0.1, 0.1, 0.1]], np.zeros((0, 5)), [[2, 0, 0, 1, 1]]
    images, targets, paths, shapes = collate([item(two, 1), item(none, 2, "b"), item(one, 3, "c")])
    assert images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert targets.numpy() == pytest.approx(
        np.array([[0, 1, 0.5, 0.5, 0.2, 0.2], [0, 0, 0.1, 0.1, 0.1, 0.1], [2, 2, 0, 0, 1, 1]])
    )
    assert (paths, shapes) == (("a.png", "b", "c"), (None, None, None))


def test_without_shuffling_the_order_is_that_of_the_items():
    batches = EpochBatches(plain(7), 3, shuffle=False)
    assert list(batches) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(batches) == 3


def test_shuffling_depends_on_seed_and_epoch():
    cases = ((0, 0), (0, 0), (0, 1), (1, 0))
    orders = [sum(EpochBatches(plain(50, epoch), 8, shuffle=True, seed=seed), []) for seed, epoch in cases]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]
    assert all(sorted(order) == list(range(50)) for order in orders)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("number", "ranks"), [(8, 2), (7, 2), (10, 4), (1, 2)])
def test_ranks_get_equally_many_and_cover_all(number, ranks, shuffle):
    shares = [EpochBatches(plain(number), 2, shuffle=shuffle, rank=rank, world_size=ranks) for rank in range(ranks)]
    batches = [list(share) for share in shares]
    assert all([len(b) for b in one] == [len(b) for b in batches[0]] for one in batches)
    assert all(len(share) == len(one) for share, one in zip(shares, batches, strict=True))
    images = [index for one in batches for batch in one for index in batch]
    assert set(images) == set(range(number))
    assert len(images) == -(-number // ranks) * ranks


@pytest.mark.parametrize("shuffle", [False, True])
def test_rectangular_batches_stay_together(shuffle):
    whole = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    numbers = plain(10, rect=True, batch_size=3)
    alone = EpochBatches(numbers, 99, shuffle=shuffle, seed=1)
    assert sorted(alone) == whole
    assert (list(alone) == whole) is not shuffle
    shares = [EpochBatches(numbers, 3, shuffle=shuffle, rank=rank, world_size=3) for rank in range(3)]
    assert [len(list(share)) for share in shares] == [len(share) for share in shares] == [2, 2, 2]
    assert {tuple(batch) for share in shares for batch in share} == set(map(tuple, whole))


def test_weights_choose_images():
    batches = EpochBatches(plain(10), 4, shuffle=True)
    batches.weights = [0, 0, 1, 0, 0, 0, 0, 3, 0, 0]
    chosen = sum(batches, [])
    assert len(chosen) == 10
    assert set(chosen) <= {2, 7}


def contents(loader):
    return [(images, targets, paths) for images, targets, paths, _ in loader]


def equal(first, second):
    return len(first) == len(second) and all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and a[2] == b[2] for a, b in zip(first, second, strict=True)
    )


def test_batches_do_not_depend_on_the_number_of_workers(dataset):
    alone, many = (make_loader(dataset, 3, workers, shuffle=True, seed=5) for workers in (0, 2))
    first = contents(alone)
    assert [len(paths) for _, _, paths in first] == [3, 3, 1]
    assert equal(contents(many), first)
    dataset.set_epoch(1)
    second = contents(alone)
    assert not equal(second, first)
    assert equal(contents(many), second)


def test_the_global_generator_is_left_alone(dataset):
    state = torch.random.get_rng_state()
    contents(make_loader(dataset, 4, shuffle=True))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_four_images_become_one_of_twice_the_side():
    group = [item([[index, 0.5, 0.5, 1, 1]], index, f"{index}.png") for index in range(4)]
    seen = set()
    for epoch in range(20):
        images, targets, paths, _ = QuadCollate(SimpleNamespace(seed=0, epoch=epoch))(group)
        assert (tuple(images.shape), paths) == ((1, 3, 4, 4), ("0.png",))
        if len(targets) == 4:
            assert images[0, 0].tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2
            assert targets.tolist() == [
                [0, 0, 0.25, 0.25, 0.5, 0.5],
                [0, 1, 0.75, 0.25, 0.5, 0.5],
                [0, 2, 0.25, 0.75, 0.5, 0.5],
                [0, 3, 0.75, 0.75, 0.5, 0.5],
            ]
        else:
            assert images.unique().tolist() == [0]
            assert targets.tolist() == [[0, 0, 0.5, 0.5, 1, 1]]
        seen.add(len(targets))
    assert seen == {1, 4}


def test_a_batch_keeps_the_layout_of_its_items():
    flat, channels_last = item([[0, 0.5, 0.5, 1, 1]], 3), item([[0, 0.5, 0.5, 1, 1]], 3, side=4)
    pixels = torch.arange(48, dtype=torch.uint8).view(4, 4, 3).permute(2, 0, 1)
    images = collate([(pixels, *channels_last[1:])] * 2)[0]
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.tolist() == [pixels.tolist()] * 2
    assert collate([flat, flat])[0].is_contiguous()


def test_what_four_does_not_divide_is_enlarged(dataset):
    images, _, paths, _ = QuadCollate(dataset)([item([[0, 0.5, 0.5, 1, 1]], shade, str(shade)) for shade in range(6)])
    assert (len(images), paths) == (2, ("0", "4"))
    assert images[1].unique().tolist() == [4]
    assert contents(make_loader(dataset, 4, quad=True))[0][0].shape == (1, 3, 64, 64)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("training", [True, False], ids=["train", "val"])
def test_photos_that_cannot_be_decoded_are_said_once_however_many_workers_there_are(
    tmp_path, write_image, capfd, workers, training
):
    files = [write_image(tmp_path / f"{index:02}.png", 32, 40, seed=index) for index in range(21)]
    samples = [Sample(str(file), (32, 40), np.array([[0, 0.5, 0.5, 0.5, 0.5]], np.float32)) for file in files]
    for file in files[1:3]:
        file.write_bytes(b"no image")
    hyp = load_hyp("hyp.scratch-low.yaml") if training else None
    loader = make_loader(DetectionDataset(samples, 32, hyp=hyp), 1, workers)
    for epoch in range(2):
        loader.dataset.set_epoch(epoch)
        paths = [path for _, _, batch, _ in loader for path in batch]
        assert paths == [str(file) for file in files if training or file not in files[1:3]]
    words = "the next ones are trained on in their place" if training else "they are left out"
    assert capfd.readouterr().err == f"2 of 21 images cannot be decoded: {files[1]}, {files[2].name}; {words}\n"
    files[5].write_bytes(b"no image")
    with pytest.raises(InputError, match=f"3 of 21 images cannot be decoded: {files[1]}.*at most a tenth"):
        list(loader)
