"""Evaluation of stand-ins for detectors whose results are known."""

import pytest
import torch
from torch import nn

from utils.validation.evaluate import Stopwatch, evaluate, format_speed, format_table, in_original

NAMES = {0: "cat", 1: "dog"}
SHAPE = ((32, 64), ((1.0, 1.0), (0.0, 16.0)))  # a 64×32 image with 16 pixels of border above and below


def batches(count=2):
    """Yield batches of two white 64×64 images, a cat on the first and a dog, marked by a grey pixel, on the second."""
    images = torch.full((2, 3, 64, 64), 255, dtype=torch.uint8)
    images[1, :, 0, 0] = 51
    for _ in range(count):
        targets = torch.tensor([[0, 0, 0.5, 0.5, 0.5, 0.25], [1, 1, 0.25, 0.5, 0.25, 0.25]])
        yield images, targets, ("a.jpg", "b.jpg"), (SHAPE, SHAPE)


def perfect(images):
    """Detect the cat or the dog on each image."""
    predictions = torch.zeros(len(images), 3, 7)
    dogs = images[:, 0, 0, 0] < 1
    predictions[~dogs, 0] = torch.tensor([32, 32, 32, 16, 0.9, 1, 0])
    predictions[dogs, 2] = torch.tensor([16, 32, 16, 16, 0.9, 0, 1])
    return predictions


def swapped(images):
    """Detect both boxes with the wrong class."""
    return perfect(images)[..., [0, 1, 2, 3, 4, 6, 5]]


def run(model, **options):
    return evaluate(model, batches(), names=NAMES, device="cpu", progress=False, **options)


def test_a_perfect_detector():
    result = run(perfect, confusion=True)
    assert (result.images, result.instances, result.precision, result.recall) == (4, 4, 1, 1)
    assert (result.map50, result.map, result.fitness) == pytest.approx((0.995, 0.995, 0.995))
    assert [(row.index, row.name, row.instances) for row in result.per_class] == [(0, "cat", 2), (1, "dog", 2)]
    assert result.confusion.matrix.tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 0]]


def test_a_blind_detector():
    result = run(lambda images: torch.zeros(len(images), 3, 7))
    assert (result.precision, result.recall, result.map50, result.map) == (0, 0, 0, 0)
    assert result.instances == 4


def test_wrong_classes_count_only_when_there_are_classes():
    assert run(swapped).map50 == 0
    loader = list(batches())
    for _, targets, _, _ in loader:
        targets[:, 1] = 0
    result = evaluate(swapped, loader, names={0: "item"}, device="cpu", single_cls=True, progress=False)
    assert result.map50 == pytest.approx(0.995)


def test_the_model_sees_zero_to_one_and_detections_reach_the_observer_in_loaded_pixels():
    seen = []

    def model(images):
        assert (images.dtype, images.max()) == (torch.float32, 1)
        assert images.min() in (1, torch.tensor(0.2))
        return perfect(images), ["raw"]

    run(
        model,
        observer=lambda index, images, targets, paths, shapes, found: seen.append((index, paths, found[0].tolist())),
    )
    assert [(index, paths) for index, paths, _ in seen] == [(0, ("a.jpg", "b.jpg")), (1, ("a.jpg", "b.jpg"))]
    assert seen[0][2][0] == pytest.approx([16, 24, 48, 40, 0.9, 0])


def test_losses_are_means_over_batches():
    values = iter((1.0, 3.0))

    def loss(raw, targets):
        assert [len(maps) for maps in raw] == [2, 2]  # of both images, two scales
        return 0, torch.full((3,), next(values))

    result = run(lambda images: (perfect(images), [images, images]), loss=loss)
    assert result.losses == (2, 2, 2)


def test_augment_is_passed_on():
    asked = []

    def model(images, augment=False):
        asked.append(augment)
        return perfect(images), None

    run(model, augment=True)
    assert asked == [True] * 4


def test_a_module_is_put_back_into_its_mode():
    class Detector(nn.Module):
        def forward(self, images):
            assert not self.training
            return perfect(images)

    model = Detector().train()
    run(model)
    assert model.training


def test_boxes_return_to_the_original_image():
    found = torch.tensor([[16.0, 24, 48, 40, 0.9, 0]])
    labels = torch.tensor([[1, 0.5, 0.5, 0.5, 0.25]])
    detections, labels = in_original(found, labels, (64, 64), SHAPE)
    assert detections[0].tolist() == pytest.approx([16, 8, 48, 24, 0.9, 0])
    assert labels.tolist() == [[1, 16, 8, 48, 24]]


def test_table_has_a_row_for_all_and_on_demand_one_for_each_class():
    lines = format_table(run(perfect), verbose=True).splitlines()
    assert lines[0].split() == ["Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95"]
    assert lines[1].split() == ["all", "4", "4", "1", "1", "0.995", "0.995"]
    assert [line.split()[0] for line in lines[2:]] == ["cat", "dog"]
    assert len(format_table(run(perfect)).splitlines()) == 2


def test_speed_is_milliseconds_an_image_by_the_given_clock():
    ticks = iter(range(100))  # every stage of each image takes one second
    result = run(perfect, clock=lambda: next(ticks))
    assert result.speed == (1000, 1000, 1000)
    assert format_speed(result.speed, (2, 3, 64, 64)) == (
        "Speed: 1000.0ms pre-process, 1000.0ms inference, 1000.0ms NMS per image at shape (2, 3, 64, 64)"
    )


def test_a_stopwatch_waits_for_its_own_gpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    with Stopwatch("cuda:1"):
        pass
    assert waited == [torch.device("cuda:1")] * 2


def test_stopwatch_adds_up():
    ticks = iter((0, 1, 10, 12))
    watch = Stopwatch(clock=lambda: next(ticks))
    for _ in range(2):
        with watch:
            pass
    assert watch.seconds == 3
