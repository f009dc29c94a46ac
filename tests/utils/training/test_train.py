"""Whole runs of a tiny network on drawn images, through the functions and the command."""

import csv
import subprocess
import sys

import pytest
import torch
import yaml

from models.errors import SpecError
from tests.utils.training.runs import PowerCut, options
from utils.errors import InputError
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import ROOT, RunFolder
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.train import train


def test_command_writes_the_files_of_a_run(tmp_path, drawn_data, tiny_yaml):
    words = [
        "--weights",
        "",
        "--cfg",
        tiny_yaml,
        "--data",
        drawn_data,
        "--img",
        "64",
        "--batch",
        "4",
        "--epochs",
        "2",
        "--workers",
        "0",
        "--device",
        "cpu",
        "--project",
        tmp_path / "runs",
    ]
    command = [sys.executable, ROOT / "train.py", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    folder = RunFolder(tmp_path / "runs" / "exp")
    for file in (
        folder.last,
        folder.best,
        folder.opt_yaml,
        folder.hyp_yaml,
        folder.results_png,
        folder.labels_jpg,
        folder.train_batch(0),
        folder.val_batch_pred(0),
        folder.pr_curve,
        folder.confusion_matrix,
    ):
        assert file.is_file(), file
    with folder.results_csv.open() as file:
        head, *rows = list(csv.reader(file, skipinitialspace=True))
    assert head[:4] == ["epoch", "train/box_loss", "train/obj_loss", "train/cls_loss"] and len(rows) == 2
    saved = load_checkpoint(folder.last)
    assert saved.entries["epoch"] == -1 and saved.entries["optimizer"] is None and saved.ema is None
    assert saved.model.names == {0: "blue", 1: "green", 2: "red"}
    assert yaml.safe_load(folder.opt_yaml.read_text())["imgsz"] == 64
    lines = done.stdout.splitlines()
    assert any(line.split()[:1] == ["1/1"] and line.endswith("s") for line in lines)
    with pytest.raises(InputError, match="this run is finished"):
        train(TrainOptions(resume=str(folder.last)))


def test_checkpoints_of_an_earlier_run_in_the_folder_are_not_used(tmp_path, drawn_data, tiny_yaml, capsys):
    folder = RunFolder(tmp_path / "runs" / "exp")
    folder.weights.mkdir(parents=True)
    for file in (folder.best_sparse, folder.best):
        file.write_bytes(b"of an earlier run")
    lines = []

    class Listener(Hook):
        def start(self, run):
            lines.append(set(run.written))

    changes = {"epochs": 1, "exist_ok": True, "noval": True}
    run = train(options(tmp_path, drawn_data, tiny_yaml, **changes), hooks=[Listener()])
    assert lines == [set()] and run.written == {folder.best, folder.last} and run.evaluation is not None
    assert folder.best_sparse.read_bytes() == b"of an earlier run"  # left alone
    said = capsys.readouterr().out
    assert said.endswith(f"weights to use: {folder.best}\n{folder.best_sparse} is of an earlier run\n")


def test_freeze_keeps_layers_bit_for_bit(tmp_path, drawn_data, tiny_yaml):
    before = {}

    class Remember(Hook):
        def start(self, run):
            before.update({k: v.clone() for k, v in run.model.state_dict().items()})

    run = train(options(tmp_path, drawn_data, tiny_yaml, freeze=[3], epochs=1), hooks=[Remember()])
    for key, value in run.model.state_dict().items():
        frozen = int(key.split(".")[1]) < 3
        assert torch.equal(before[key], value) == (frozen or key.endswith("anchors")), key


def test_nosave_noval_and_period(tmp_path, drawn_data, tiny_yaml):
    run = train(options(tmp_path, drawn_data, tiny_yaml, noval=True, save_period=1, cos_lr=True, rect=True))
    assert run.folder.epoch_checkpoint(1).is_file() and run.folder.best.is_file()
    rows = run.folder.results_csv.read_text().splitlines()[1:]
    assert ["nan" in row for row in rows] == [True, True, False]

    class Look(Hook):
        def before_epoch(self, run):
            assert not run.folder.last.exists()

    run = train(options(tmp_path, drawn_data, tiny_yaml, nosave=True, epochs=2, single_cls=True), hooks=[Look()])
    assert run.folder.last.is_file() and run.model.nc == 1
    saved = load_checkpoint(run.folder.last).model.state_dict()
    average = run.ema.model.half().float().state_dict()
    assert all(torch.equal(saved[key], average[key]) for key in saved)


def test_quad_trains_on_a_quarter_as_many_images_of_twice_the_side(tmp_path, drawn_data, tiny_yaml):
    class Look(Hook):
        def after_batch(self, run, images, targets, paths):
            assert images.shape == (1, 3, 128, 128)
            assert run.settings.loss_gain == 4

    run = train(options(tmp_path, drawn_data, tiny_yaml, quad=True, epochs=1), hooks=[Look()])
    assert run.batch.size == 128


def test_activation_is_exchanged_and_written_into_the_checkpoint(tmp_path, drawn_data, tiny_yaml):
    first = train(options(tmp_path, drawn_data, tiny_yaml, epochs=1))
    relu = options(tmp_path, drawn_data, "", weights=str(first.folder.last), epochs=2, activation="nn.ReLU()")
    with pytest.raises(KeyboardInterrupt):
        train(relu, hooks=[PowerCut(1)])
    second = train(TrainOptions(resume=str(tmp_path / "runs" / "exp2" / "weights" / "last.pt")), hooks=[PowerCut()])
    saved = load_checkpoint(second.folder.last).model
    assert saved.yaml["activation"] == "nn.ReLU()" and saved.yaml["backbone"] == first.model.yaml["backbone"]
    assert not any(isinstance(module, torch.nn.SiLU) for module in saved.modules())


def test_other_classes_replace_detect_or_are_refused(tmp_path, drawn_data, tiny_yaml, capsys):
    first = train(options(tmp_path, drawn_data, tiny_yaml, epochs=1))
    config = yaml.safe_load(drawn_data.read_text()) | {"names": ["blue", "green", "red", "none"]}
    drawn_data.write_text(yaml.safe_dump(config))
    changed = options(tmp_path, drawn_data, "", weights=str(first.folder.last), epochs=1)
    with pytest.raises(InputError, match="has 3 classes, the data 4"):
        train(changed, transfer=False)
    second = train(changed)
    assert "transferred 55 of 59 tensors" in capsys.readouterr().out
    assert second.model.nc == second.model.yaml["nc"] == 4 and second.model.names[3] == "none"
    assert load_checkpoint(second.folder.last).model.nc == 4


def test_frozen_layers_are_left_out_of_all_that_training_does(tmp_path, drawn_data, tiny_yaml):
    class Look(Hook):
        def start(self, run):
            self.before = {name: value.clone() for name, value in run.model.state_dict().items()}
            self.reached = []
            run.model.model[2].register_forward_pre_hook(
                lambda layer, inputs: self.reached.append(inputs[0].requires_grad)
            )

    look = Look()
    run = train(options(tmp_path, drawn_data, tiny_yaml, freeze=[2], epochs=1), hooks=[look])
    changed = {
        int(name.split(".")[1]) for name, value in run.model.state_dict().items() if not value.equal(look.before[name])
    }
    assert changed == {2, 3, 4, 5}  # neither weights nor batch norm statistics of layers 0 and 1
    frozen = {parameter for layer in run.model.model[:2] for parameter in layer.parameters()}
    assert frozen.isdisjoint(run.optimizer.state)
    assert frozen.isdisjoint(parameter for group in run.optimizer.param_groups for parameter in group["params"])
    assert look.reached and not any(look.reached)  # nothing goes backward through what is frozen


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "--batch-size 0"),
        ({"freeze": [9]}, "--freeze 9"),
        ({"freeze": [6]}, "no layer is left"),
        ({"sync_bn": True}, "--sync-bn"),
        ({"rect": True, "image_weights": True}, "exclude each other"),
        ({"cfg": ""}, "--weights and --cfg are both empty"),
        ({"data": "no.yaml"}, "no.yaml"),
        ({"hyp": "no.yaml"}, "no.yaml"),
        ({"label_smoothing": 1.5}, "--label-smoothing"),
        ({"seed": 2**64}, "--seed"),
        ({"name": ""}, "--name is empty"),
        ({"logger": ["clearml"]}, "--logger clearml: needs the Python package clearml: pip install clearml"),
        ({"project": __file__}, "--project .*is a file"),
        ({"device": "cuda:99"}, "--device cuda:99"),
        ({"activation": "Swish"}, "--activation: unknown 'Swish'; known are nn.SiLU"),
    ],
)
def test_bad_input_creates_nothing(tmp_path, drawn_data, tiny_yaml, changes, message):
    with pytest.raises((InputError, SpecError), match=message):
        train(options(tmp_path, drawn_data, tiny_yaml, **changes))
    assert not (tmp_path / "runs").exists()
