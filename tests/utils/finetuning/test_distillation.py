"""A teacher's two losses by hand, what may teach whom, and whole fine-tuning runs with and without it."""

import math
import subprocess
import sys
from copy import deepcopy
from dataclasses import fields, replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import yaml

from models.yolo import DetectionModel
from utils.boxes.loss import DetectionLoss
from utils.data.unlabelled import scan_unlabelled
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT, RunFolder
from utils.finetuning.distillation import DetectInputs, Distillation, Shared, attention_loss, divergence, output_loss
from utils.finetuning.finetune import UnlabelledImages, distillation_hooks, finetune
from utils.finetuning.options import FinetuneOptions
from utils.pruning.structure.head import drop_scales, keep_classes
from utils.training.loop import Hook, fit
from utils.training.optim import Schedule, build_optimizer
from utils.training.options import TrainOptions
from utils.training.run import Run, RunSettings
from utils.training.start import lay_out
from utils.training.train import train

LN2 = math.log(2)
CPU = torch.device("cpu")
HYP = {"box": 0.05, "obj": 1.0, "cls": 0.5, "anchor_t": 4.0}


def logit(p):
    return math.log(p / (1 - p))


def one_cell(*values, nc=2):
    """Return the loss of a network with one anchor of one cell's size, in a picture of one cell, and its raw output."""
    detect = SimpleNamespace(nl=1, na=1, nc=nc, anchors=torch.ones(1, 1, 2))
    return DetectionLoss(SimpleNamespace(model=[detect]), HYP), [torch.tensor(values).view(1, 1, 1, 1, 5 + nc)]


def stirred(model, seed=0):
    """Return a copy whose every number is a little different, and which sees something in every cell."""
    model, generator = deepcopy(model), torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) * 0.2
    for conv in model.model[-1].m:
        conv.bias.data.view(model.model[-1].na, -1)[:, 4] = -1
    return model


def wide_config(config):
    return {**config, "width_multiple": 0.25}


# --- the losses by hand


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


class Batches(list):
    def set_epoch(self, epoch):
        pass


def make_run(model, images, epochs=150, amp=None):
    rows = torch.tensor([[i, 0, 0.5, 0.5, 0.3, 0.3] for i in range(len(images))])
    schedule = Schedule(epochs, 1, 64, 0.01, 1.0, 0.9, 0.0, 0.9, 0.01)
    loader = Batches([(images, rows, ("x",) * len(images), None)])
    loader.dataset = loader
    run = Run(
        model,
        build_optimizer(model, "SGD", 0.01, 0.9, 0.0),
        DetectionLoss(model, HYP, 64),
        schedule,
        RunFolder(None),
        CPU,
        RunSettings(64, amp=amp),
    )
    return run, loader


def train_on(run, loader, *hooks):
    for hook in hooks:
        hook.prepare(run.model)
    fit(run, loader, lambda run: None, list(hooks), lambda run, hooks: None)


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
    hook = Distillation(teacher, "teacher", *gains)
    train_on(run, loader, hook, Unlabelled(images[1:]), Log())
    assert losses[-1] < 0.75 * losses[0], losses
    assert not run.model.model[-1]._forward_pre_hooks and set(hook.state_dict()) == {"means"}
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
        hook = Distillation(deepcopy(teacher), "teacher", 2.0, 0.5)
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
    train_on(run, loader, Distillation(DetectionModel(wide_config(tiny_cfg)), "teacher", 1.0, 1.0))
    assert 0 < run.log["train/distill_loss"] < 10
    assert lay_out(tiny_model, CPU).model[0].conv.weight.dtype == torch.float32


# --- who may teach whom


def named(config, *names):
    model = DetectionModel({**config, "nc": len(names)})
    model.names = dict(enumerate(names))
    return model


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
    hook = Distillation(teacher, "t", 1.0, 1.0)
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
        Distillation(change(student), "--teacher t.pt", 1.0, 1.0).prepare(student)
    assert str(error.value).endswith(words) and "\n" not in str(error.value)


def test_a_teacher_of_other_classes_teaches_those_that_both_know(tiny_cfg):
    teacher, student = named(tiny_cfg, "d", "A ", "c"), named(tiny_cfg, "a", "b", "c")
    shared, lines = Shared.of(teacher, student, "t"), []
    assert shared.classes == [0, 2]
    raw = [torch.arange(8.0).expand(1, 2, 1, 1, 8)] * 2
    assert shared.choose(raw)[0][0, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 6, 7]
    hook = Distillation(teacher, "t", 1.0, 0.0, lines.append)
    run, loader = make_run(student, torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), epochs=1)
    train_on(run, loader, hook)
    assert lines == ["t: teaches a, c; it does not know b"]


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


@pytest.fixture
def teacher_file(tmp_path, tiny_cfg):
    """The file of a wider network with the classes of the drawn images."""
    teacher = stirred(named(wide_config(tiny_cfg), "blue", "green", "red"))
    save_checkpoint(tmp_path / "teacher.pt", finished_content(teacher))
    return tmp_path / "teacher.pt"


@pytest.fixture
def folder(tmp_path):
    """Three images without labels, one of them below, and a broken one."""
    rng = np.random.default_rng(1)
    (tmp_path / "more" / "below").mkdir(parents=True)
    for name in ("a.png", "b.png", "below/c.png"):
        cv2.imwrite(str(tmp_path / "more" / name), rng.integers(0, 256, (48, 64, 3), np.uint8))
    (tmp_path / "more" / "d.jpg").write_bytes(b"no image")
    return tmp_path / "more"


def options(tmp_path, data, cfg, **changes):
    values = {
        "weights": "",
        "cfg": str(cfg),
        "data": str(data),
        "imgsz": 64,
        "batch_size": 4,
        "epochs": 3,
        "workers": 0,
        "device": "cpu",
        "project": str(tmp_path / "runs"),
        "noplots": True,
        "cache": "ram",
    }
    return FinetuneOptions(**values | changes)


def same_weights(one, two):
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_without_a_teacher_nothing_differs(tmp_path, drawn_data, tiny_yaml):
    given = options(tmp_path, drawn_data, tiny_yaml, epochs=1)
    plain = TrainOptions(**{key: getattr(given, key) for key in (field.name for field in fields(TrainOptions))})
    assert distillation_hooks(given) == []
    assert same_weights(finetune(given).model, train(plain, transfer=False).model)


def test_resumed_run_equals_an_uninterrupted_one(tmp_path, drawn_data, tiny_yaml, teacher_file, folder, capsys):
    class PowerCut(Hook):
        def after_step(self, run):
            if run.epoch == 2:
                raise KeyboardInterrupt

    shared = {"teacher": str(teacher_file), "unlabelled": str(folder), "multi_scale": True}
    whole = finetune(options(tmp_path, drawn_data, tiny_yaml, name="whole", **shared))
    assert whole.batch.labelled == 4 and whole.log["train/distill_loss"] > 0
    assert "unlabelled: 3 images, 1 corrupt" in capsys.readouterr().out
    cut = options(tmp_path, drawn_data, tiny_yaml, name="cut", **shared)
    with pytest.raises(KeyboardInterrupt):
        train(replace(cut, noautoanchor=True), hooks=[*distillation_hooks(cut), PowerCut()], transfer=False)
    last = RunFolder(tmp_path / "runs" / "cut").last
    resumed = finetune(FinetuneOptions(resume=str(last)))
    assert same_weights(whole.model, resumed.model) and same_weights(whole.ema.model, resumed.ema.model)
    assert resumed.log["train/distill_loss"] == whole.log["train/distill_loss"]
    written = load_checkpoint(resumed.folder.last).model
    assert written.state_dict().keys() == DetectionModel(yaml.safe_load(tiny_yaml.read_text())).state_dict().keys()
    assert sum(p.numel() for p in written.parameters()) == sum(p.numel() for p in whole.model.parameters())


def test_a_teacher_that_is_gone_on_resume(tmp_path, drawn_data, tiny_yaml, teacher_file):
    class PowerCut(Hook):
        def before_epoch(self, run):
            if run.epoch:
                raise KeyboardInterrupt

    given = options(tmp_path, drawn_data, tiny_yaml, teacher=str(teacher_file), distill_feature=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(given, hooks=[*distillation_hooks(given), PowerCut()], transfer=False)
    teacher_file.unlink()
    with pytest.raises(InputError, match=r"^--teacher .*teacher.pt: no such weight file"):
        finetune(FinetuneOptions(resume=str(RunFolder(tmp_path / "runs" / "exp").last)))


def test_unlabelled_images_of_an_epoch(tmp_path, folder):
    """Every batch gets as many as it has, the epochs differ, and repeated ones are augmented differently."""
    samples, broken = scan_unlabelled(folder)
    assert ([sample.shape for sample in samples], broken) == ([(48, 64)] * 3, 1)
    given = FinetuneOptions(imgsz=64, workers=0)
    run = SimpleNamespace(
        schedule=SimpleNamespace(batches=2, batch_size=6),
        settings=RunSettings(64),
        epoch=0,
        first_batch=0,
        device=CPU,
        processes=SimpleNamespace(rank=0, world_size=1, main=True),
    )
    epochs = []
    for run.epoch in (0, 1, 0):
        hook = UnlabelledImages(samples, given)
        hook.start(run)
        hook.before_epoch(run)
        epochs.append(torch.cat([hook.more_images(run) for _ in range(2)]))
        hook.after_epoch(run)
    assert epochs[0].shape == (12, 3, 64, 64) and epochs[0].dtype == torch.uint8
    assert torch.equal(epochs[0], epochs[2]) and not torch.equal(epochs[0], epochs[1])
    assert len({image.numpy().tobytes() for image in epochs[0]}) == 12


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"unlabelled": "more"}, "--unlabelled more: only a teacher can judge these; give --teacher"),
        ({"unlabelled": "more", "teacher": "t.pt", "rect": True}, "--rect and --unlabelled exclude each other"),
        ({"unlabelled": "more", "teacher": "t.pt", "batch_size": -1}, "--batch-size -1: give a number"),
        ({"teacher": "t.pt", "distill_output": 0.0, "distill_feature": 0.0}, "nothing is left that --teacher"),
        ({"distill_output": -1.0}, "--distill-output -1.0: must be at least 0"),
        ({"distill_feature": 0.5}, "--distill-feature 0.5: has no effect without --teacher"),
        ({"teacher": "nosuch.pt"}, "--teacher nosuch.pt: no such weight file"),
    ],
)
def test_options_that_cannot_be(tmp_path, drawn_data, tiny_yaml, changes, words):
    with pytest.raises(InputError) as error:
        finetune(options(tmp_path, drawn_data, tiny_yaml, **changes))
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_folders_that_hold_nothing(tmp_path, drawn_data, tiny_yaml, teacher_file):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"no image")
    expected = {"none": "no such folder", "empty": "no images; known suffixes", "broken": "none of 1 images"}
    for name, words in expected.items():
        given = options(tmp_path, drawn_data, tiny_yaml, teacher=str(teacher_file), unlabelled=str(tmp_path / name))
        with pytest.raises(InputError, match=f"^--unlabelled {tmp_path / name}: {words}"):
            finetune(given)
    assert not (tmp_path / "runs").exists()


def test_the_command(tmp_path, drawn_data, teacher_file):
    given = ["--weights", teacher_file, "--teacher", teacher_file, "--data", drawn_data]
    command = [
        sys.executable,
        ROOT / "finetune_pruned.py",
        *given,
        "--unlabelled",
        tmp_path / "none",
        "--device",
        "cpu",
        "--project",
        tmp_path / "runs",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    problem = f"--unlabelled {tmp_path / 'none'}: no such folder; it must be one of images"
    assert done.returncode == 2 and done.stderr == f"finetune_pruned.py: error: {problem}\n"
    assert done.stdout.startswith(f"teacher: {teacher_file}, ") and not (tmp_path / "runs").exists()
