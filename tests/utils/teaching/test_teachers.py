"""Who can teach whom: classes are matched by name, scales by stride."""

import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from tests.utils.teaching.students import logit, make_run, named, one_cell, train_on
from utils.errors import InputError
from utils.pruning.structure.head import drop_scales, keep_classes
from utils.teaching.distillation import Distillation, Shared, output_loss


def test_classes_are_matched_by_name(tiny_cfg):
    teacher, student = named(tiny_cfg, "a", "b", "c"), named(tiny_cfg, "c", "a")
    shared = Shared.of(teacher, student, "t")
    raw = [torch.arange(8.0).expand(1, 2, 1, 1, 8)] * 2
    assert shared.choose(raw)[1][0, 1, 0, 0].tolist() == [0, 1, 2, 3, 4, 7, 5]
    same = Shared.of(teacher, teacher, "t")
    assert same.choose(raw)[0] is raw[0]


def test_a_teacher_may_know_more(tiny_config):
    teacher = named(tiny_config, "a", "b", "c")
    student, _ = drop_scales(keep_classes(teacher, [2]), ["P4"])
    shared = Shared.of(teacher, student, "t")
    assert shared.scales == [0, 2] and shared.outputs == [0, 1, 2, 3, 4, 7]
    hook = Distillation(teacher, Path("t.pt"), 1.0, 1.0)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    run, loader = make_run(student, images, epochs=1)
    train_on(run, loader, hook)
    assert run.log["distill/output"] > 0 and run.log["distill/feature"] > 0


def other_anchors(config):
    return {**config, "anchors": [config["anchors"][0], [24, 24, 40, 44]]}


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda teacher: named(teacher.yaml, "d", "e"), "knows none of the classes a, b, c; it has d, e"),
        (lambda teacher: drop_scales(teacher, ["P4"])[0], "predicts at strides 8; the model also at 16"),
        (
            lambda teacher: named(other_anchors(teacher.yaml), "a", "b", "c"),
            "has anchors 24×24 40×44 px at stride 16, the model 24×24 40×40; a teacher must have the same",
        ),
    ],
)
def test_who_cannot_teach(tiny_cfg, change, words):
    student = named(tiny_cfg, "a", "b", "c")
    with pytest.raises(InputError, match="^--teacher t.pt: ") as error:
        Distillation(change(student), Path("t.pt"), 1.0, 1.0).prepare(student)
    assert str(error.value).endswith(words) and "\n" not in str(error.value)


def test_a_teacher_of_other_classes_teaches_those_that_both_know(tiny_cfg):
    teacher, student = named(tiny_cfg, "d", "A ", "c"), named(tiny_cfg, "a", "b", "c")
    shared, lines = Shared.of(teacher, student, "t"), []
    assert shared.classes == [0, 2]
    raw = [torch.arange(8.0).expand(1, 2, 1, 1, 8)] * 2
    assert shared.choose(raw)[0][0, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 6, 7]
    hook = Distillation(teacher, Path("t.pt"), 1.0, 0.0, lines.append)
    run, loader = make_run(student, torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), epochs=1)
    train_on(run, loader, hook)
    assert lines == ["--teacher t.pt: teaches a, c; it does not know b"]


def test_a_teacher_of_one_class_is_sure_of_it(tiny_cfg):
    shared = Shared.of(named(tiny_cfg, "b"), named(tiny_cfg, "a", "b"), "t")
    chosen = shared.choose([torch.zeros(1, 2, 1, 1, 6), torch.zeros(1, 2, 1, 1, 6)])
    assert shared.classes == [1] and all((maps[..., 5] == 10).all() for maps in chosen)


def test_of_what_a_teacher_does_not_know_it_says_nothing():
    """Weight 0.8 · 0.5 = 0.4 for every term; the student's class 0 and the teacher's background count for nothing."""
    loss, ours = one_cell(0.0, 0, 0, 0, 0, 9, 0)
    sure = [torch.tensor([0.0, 0, 0, 0, logit(0.8), 0.0]).view(1, 1, 1, 1, 6)]
    total = output_loss(loss, ours, sure, [1])
    p = 0.8
    divergence_by_hand = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    assert total.item() == pytest.approx(loss.gains[1] * loss.balance[0] * 0.4 * divergence_by_hand, rel=1e-4)
    background = [torch.tensor([3.0, 3, 3, 3, logit(0.009), 5.0]).view(1, 1, 1, 1, 6)]
    assert output_loss(loss, ours, background, [1]).item() == 0


def test_a_teacher_that_needs_larger_images(tiny_model):
    teacher = deepcopy(tiny_model)
    teacher.stride = torch.tensor([8.0, 16.0, 64.0])
    with pytest.raises(InputError, match="multiples of 64, the model's are of 32"):
        Shared.of(teacher, tiny_model, "t")


# --- whole runs
