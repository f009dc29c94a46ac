"""A teacher's two losses by hand, what may teach whom, and whole fine-tuning runs with and without it."""

import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from models.yolo import DetectionModel
from tests.utils.teaching.students import CPU, HYP, logit, make_run, one_cell, stirred, train_on, wide_config
from utils.boxes.loss import DetectionLoss
from utils.teaching.distillation import DetectInputs, Distillation, attention_loss, divergence, output_loss
from utils.training.loop import Hook, fit
from utils.training.start import lay_out


def test_divergence_by_hand():
    # From 0.75 to a student's 0.5: 0.75 ln(0.75 / 0.5) + 0.25 ln(0.25 / 0.5)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert divergence(torch.zeros(1), torch.tensor([logit(0.75)])).item() == pytest.approx(expected, rel=1e-5)
    same = torch.linspace(-30, 30, 13)
    assert not divergence(same, same).any()


def test_output_loss_by_hand():
    loss, ours = one_cell(0.0, 0, 0, 0, 0, 0, 0)
    # The teacher is sure to 0.75 that there is a box of 0.5 cells' side with the same centre, and of class 1 to 0.75.
    half = logit(math.sqrt(0.5) / 2)  # (2 σ)² = 0.5
    _, theirs = one_cell(0.0, 0, half, half, logit(0.75), 0, logit(0.75))
    three_quarters = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    scale = 3  # one scale in place of three: gains are tripled
    box = 0.05 * scale * 0.75 * (1 - 0.25)  # objectness · (1 − CIoU), less than one object in all: divided by 1
    objectness = 1.0 * scale * 4 * three_quarters  # the finest scale counts four times
    classes = 0.5 * scale * 2 / 80 * 0.75 * three_quarters / 2
    assert output_loss(loss, ours, theirs).item() == pytest.approx(box + objectness + classes, rel=1e-4)


def test_sure_objects_share_a_weighted_mean():
    """Twice the same image gives the same loss once there is at least one object: a mean, not a sum."""
    loss, ours = one_cell(0.3, -0.2, 0.1, 0, 0, 0.5, 0)
    _, theirs = one_cell(0.0, 0, 0, 0, 30.0, 0, 1.0)
    twice = output_loss(loss, [ours[0].repeat(2, 1, 1, 1, 1)], [theirs[0].repeat(2, 1, 1, 1, 1)])
    assert twice.item() == pytest.approx(output_loss(loss, ours, theirs).item(), rel=1e-5)


def test_processes_share_the_weighted_mean():
    """Two processes that see 2 and 6 objects divide by their mean, 4: their mean gradient is that of all 8."""
    loss, ours = one_cell(0.3, -0.2, 0.1, 0, 30, 0.5, 0)
    _, theirs = one_cell(0.0, 0, 0, 0, 30.0, 0, 1.0)
    ours, theirs = [ours[0].repeat(2, 1, 1, 1, 1)], [theirs[0].repeat(2, 1, 1, 1, 1)]
    alone = output_loss(loss, ours, theirs)
    loss.average = lambda weights: weights * 2
    assert output_loss(loss, ours, theirs).item() == pytest.approx(alone.item() / 2, rel=1e-5)


def test_background_teaches_only_that_it_is_background():
    loss, ours = one_cell(3.0, -2, 1, 1, 0, 5, -5)
    _, theirs = one_cell(0.0, 0, 0, 0, logit(0.009), 0, 0)
    _, other = one_cell(9.0, 9, 9, 9, logit(0.009), 9, 9)
    first, second = (output_loss(loss, ours, taught).item() for taught in (theirs, other))
    p = 0.009
    assert first == second == pytest.approx(12 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))), rel=1e-4)


def test_one_class_has_no_class_loss():
    loss, ours = one_cell(0.0, 0, 0, 0, 30, 0, nc=1)
    assert output_loss(loss, ours, one_cell(0.0, 0, 0, 0, 30, 9, nc=1)[1]).item() == pytest.approx(0, abs=1e-6)


def test_attention_by_hand():
    ours = torch.tensor([[[[1.0, 0.0]], [[1.0, 0.0]]]])  # 2 channels: squares sum to (2, 0)
    theirs = torch.tensor([[[[3.0, 3.0]]]])  # 1 channel: (9, 9), at 45° to it
    away = torch.tensor([[[[0.0, -2.0]]]])  # (0, 4): a right angle
    assert attention_loss([ours], [theirs]).item() == pytest.approx(1 - math.sqrt(0.5), rel=1e-5)
    assert attention_loss([ours, ours], [theirs, away]).item() == pytest.approx((2 - math.sqrt(0.5)) / 2, rel=1e-5)


def test_a_teacher_that_agrees_teaches_nothing(tiny_model):
    student, teacher = stirred(tiny_model).eval(), stirred(tiny_model).eval().requires_grad_(False)
    for model in (student, teacher):
        model.model[-1].train()
    ours, theirs = DetectInputs(student), DetectInputs(teacher)
    images = torch.rand(2, 3, 64, 64)
    loss = DetectionLoss(student, HYP)
    raw, taught = student(images), teacher(images)
    total = output_loss(loss, raw, taught) + attention_loss(ours.take(), theirs.take())
    total.backward()
    assert (taught[0][..., 4].sigmoid() > 0.01).any()
    assert abs(total.item()) < 1e-6
    assert max(p.grad.abs().max() for p in student.parameters()) < 1e-5


# --- the engine's two moments


class NoLabels(DetectionLoss):
    """In the place of the loss of the labels: counts images, and lets no label count."""

    def __call__(self, raw, targets, counts=None):
        self.seen.append(len(raw[0]))
        return 0 * sum(y.sum() for y in raw), torch.zeros(3)


class Unlabelled(Hook):
    """Joins images and lets no label count."""

    def __init__(self, images):
        self.images, self.seen = images, []

    def start(self, run):
        run.loss = NoLabels(run.model, HYP, 64)
        run.loss.seen = self.seen

    def more_images(self, run):
        return self.images

    def after_batch(self, run, images, targets, paths):
        self.seen.append(len(images))


def test_images_without_labels_reach_only_the_teacher(tiny_model):
    class Extra(Hook):
        def extra_loss(self, run, images, raw):
            seen.append((len(images), [len(y) for y in raw], run.batch.labelled))

    seen = []
    images = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)
    run, loader = make_run(tiny_model, images[:2], epochs=1)
    hook = Unlabelled(images[2:])
    train_on(run, loader, hook, Extra())
    assert hook.seen == [2, 2] and seen == [(5, [5, 5], 2)]


def test_extra_losses_add_their_gradients(tiny_model):
    class Extra(Hook):
        def extra_loss(self, run, images, raw):
            return sum((y**2).mean() for y in raw) * 1e-3

    class Gradient(Hook):
        def before_step(self, run):
            found.append([p.grad.clone() for p in run.model.parameters()])

    found = []
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    for small, hooks in ((1e-3, []), (0.0, [Extra()]), (1e-3, [Extra()])):  # clipping must not hide it
        run, loader = make_run(deepcopy(tiny_model), images, epochs=1)
        run.loss.gains = [small * gain for gain in run.loss.gains]
        fit(run, loader, lambda run: None, [*hooks, Gradient()], lambda run, hooks: None)
    for first, second, both in zip(*found):
        assert torch.allclose(first + second, both, atol=1e-6)


@pytest.mark.parametrize("gains", [(10.0, 0.0), (0.0, 1.0)])
def test_the_student_is_pulled_to_the_teacher(tiny_model, tiny_cfg, gains):
    teacher = stirred(DetectionModel(wide_config(tiny_cfg)))
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    run, loader = make_run(tiny_model, images[:1])
    run.epoch = 110  # behind the warm-up
    losses = []

    class Log(Hook):
        def after_validation(self, run):
            losses.append(run.log["train/distill_loss"])

    before = deepcopy(teacher).eval()
    hook = Distillation(teacher, Path("teacher.pt"), *gains)
    train_on(run, loader, hook, Unlabelled(images[1:]), Log())
    assert losses[-1] < 0.75 * losses[0], losses
    assert not run.model.model[-1]._forward_pre_hooks and set(hook.state_dict()) == {"means", "judgement"}
    teacher.model[-1].eval()
    with torch.no_grad():
        x = images / 255
        assert torch.allclose(teacher(x)[0], before(x)[0], rtol=1e-3, atol=1e-3)  # fused, not changed


def test_the_loss_is_a_sum_over_images(tiny_model, tiny_cfg):
    totals, logged = [], []
    teacher = stirred(DetectionModel(wide_config(tiny_cfg)))
    images = torch.rand(2, 3, 64, 64)
    for batch in (images, images.repeat(2, 1, 1, 1)):
        run, _ = make_run(deepcopy(tiny_model), images)
        run.model.eval().model[-1].train()
        hook = Distillation(deepcopy(teacher), Path("teacher.pt"), 2.0, 0.5)
        hook.prepare(run.model)
        hook.start(run)
        hook.before_epoch(run)
        totals.append(hook.extra_loss(run, batch, run.model(batch)).item())
        hook.after_epoch(run)
        logged.append(run.log)
    assert totals[1] == pytest.approx(2 * totals[0], rel=1e-4)
    assert logged[0]["train/distill_loss"] == pytest.approx(totals[0] / 2, rel=1e-5)
    assert logged[0]["distill/output"] + logged[0]["distill/feature"] == pytest.approx(logged[0]["train/distill_loss"])


def test_mixed_precision(tiny_model, tiny_cfg):
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    run, loader = make_run(tiny_model, images, epochs=1, amp=torch.bfloat16)
    train_on(run, loader, Distillation(DetectionModel(wide_config(tiny_cfg)), Path("teacher.pt"), 1.0, 1.0))
    assert 0 < run.log["train/distill_loss"] < 10
    assert lay_out(tiny_model, CPU).model[0].conv.weight.dtype == torch.float32


# --- who may teach whom
