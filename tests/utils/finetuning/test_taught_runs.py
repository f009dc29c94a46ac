"""Fine-tuning with a teacher as a whole: resumed, on images without labels, from the command line."""

import subprocess
import sys
from dataclasses import fields, replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import yaml

from models.yolo import DetectionModel
from tests.utils.teaching.students import CPU, named, stirred, wide_config
from tests.utils.training.runs import options
from utils.data.unlabelled import scan_unlabelled
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT, RunFolder
from utils.finetuning.finetune import finetune
from utils.finetuning.options import FinetuneOptions
from utils.teaching.hooks import teaching_hooks
from utils.teaching.unlabelled import UnlabelledImages
from utils.training.distributed import ProcessGroup
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.run import RunSettings
from utils.training.train import train


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


def same_weights(one, two):
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_without_a_teacher_nothing_differs(tmp_path, drawn_data, tiny_yaml):
    given = options(tmp_path, drawn_data, tiny_yaml, FinetuneOptions, epochs=1)
    plain = TrainOptions(**{key: getattr(given, key) for key in (field.name for field in fields(TrainOptions))})
    assert teaching_hooks(given) == []
    assert same_weights(finetune(given).model, train(plain, transfer=False).model)


def test_resumed_run_equals_an_uninterrupted_one(tmp_path, drawn_data, tiny_yaml, teacher_file, folder, capsys):
    class PowerCut(Hook):
        def after_step(self, run):
            if run.epoch == 2:
                raise KeyboardInterrupt

    shared = {"teacher": str(teacher_file), "unlabelled": str(folder), "multi_scale": True}
    whole = finetune(options(tmp_path, drawn_data, tiny_yaml, FinetuneOptions, name="whole", **shared))
    assert whole.batch.labelled == 4 and whole.log["train/distill_loss"] > 0
    assert "unlabelled: 3 images, 1 corrupt" in capsys.readouterr().out
    cut = options(tmp_path, drawn_data, tiny_yaml, FinetuneOptions, name="cut", **shared)
    with pytest.raises(KeyboardInterrupt):
        train(replace(cut, noautoanchor=True), hooks=[*teaching_hooks(cut), PowerCut()], transfer=False)
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

    given = options(tmp_path, drawn_data, tiny_yaml, FinetuneOptions, teacher=str(teacher_file), distill_feature=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(given, hooks=[*teaching_hooks(given), PowerCut()], transfer=False)
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
        processes=ProcessGroup(),
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
        ({"unlabelled": "more", "teacher": "none"}, "--unlabelled more: has no effect with --teacher none"),
        ({"unlabelled": "more"}, "--unlabelled more: only a teacher can judge; none is known"),
        ({"unlabelled": "more", "teacher": "t.pt", "rect": True}, "--rect and --unlabelled exclude each other"),
        ({"unlabelled": "more", "teacher": "t.pt", "batch_size": -1}, "--batch-size -1: give a number"),
        ({"teacher": "t.pt", "distill_output": 0.0, "distill_feature": 0.0}, "nothing is left to teach"),
        ({"distill_output": -1.0}, "--distill-output -1.0: must be at least 0"),
        ({"distill_feature": 0.5}, "--distill-feature 0.5: only a teacher can judge; none is known"),
        ({"teacher": ""}, "--teacher '': must be a checkpoint, auto, or none"),
        ({"teacher": "nosuch.pt"}, "--teacher nosuch.pt: no such weight file"),
    ],
)
def test_options_that_cannot_be(tmp_path, drawn_data, tiny_yaml, changes, words):
    with pytest.raises(InputError) as error:
        finetune(options(tmp_path, drawn_data, tiny_yaml, FinetuneOptions, **changes))
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_folders_that_hold_nothing(tmp_path, drawn_data, tiny_yaml, teacher_file):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"no image")
    expected = {"none": "no such folder", "empty": "no images; known suffixes", "broken": "none of 1 images"}
    for name, words in expected.items():
        given = options(
            tmp_path, drawn_data, tiny_yaml, FinetuneOptions, teacher=str(teacher_file), unlabelled=str(tmp_path / name)
        )
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
