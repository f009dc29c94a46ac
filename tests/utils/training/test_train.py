"""Whole runs of a tiny network on drawn images, through the functions and the command."""

import csv
import subprocess
import sys

import pytest
import torch
import yaml

from models.errors import SpecError
from utils.errors import InputError
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import ROOT, RunFolder
from utils.finetuning.options import FinetuneOptions
from utils.sparsity.options import SparsityOptions
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.plan import stored_options
from utils.training.resume import resolve
from utils.training.train import train


def options(tmp_path, drawn, tiny, **changes):
    values = {
        "weights": "",
        "cfg": str(tiny),
        "data": str(drawn),
        "imgsz": 64,
        "batch_size": 4,
        "epochs": 3,
        "workers": 0,
        "device": "cpu",
        "project": str(tmp_path / "runs"),
        "noplots": True,
        "cache": "ram",
    }
    return TrainOptions(**values | changes)


class PowerCut(Hook):
    """Ends the run in the middle of an epoch; counts optimizer steps in a state of its own."""

    def __init__(self, epoch=None):
        self.epoch, self.steps = epoch, 0

    def after_step(self, run):
        self.steps += 1
        if run.epoch == self.epoch:
            raise KeyboardInterrupt

    def state_dict(self):
        return {"steps": torch.tensor(self.steps)}

    def load_state_dict(self, state):
        self.steps = int(state["steps"])


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


def test_a_run_that_was_ended_before_its_last_validation_is_concluded(tmp_path, drawn_data, tiny_yaml):
    run = train(options(tmp_path, drawn_data, tiny_yaml, epochs=1, noplots=False))
    made = [run.folder.results_png, run.folder.pr_curve, run.folder.gamma_png, run.folder.final_json]
    weights, rows = run.folder.last.read_bytes(), run.folder.results_csv.read_text()
    for file in made:
        file.unlink()
    again = train(TrainOptions(resume=str(run.folder.last)))
    assert all(file.is_file() for file in made)
    assert again.evaluation.map == run.evaluation.map
    assert (run.folder.last.read_bytes(), run.folder.results_csv.read_text()) == (weights, rows)
    with pytest.raises(InputError, match="this run is finished"):
        train(TrainOptions(resume=str(run.folder.last)))


def test_an_interrupt_while_checkpoints_are_written_loses_none(tmp_path, drawn_data, tiny_yaml):
    """last.pt comes last: whatever is interrupted before it, the resumed run writes again."""

    class Moments(Hook):
        def after_validation(self, run):
            if run.epoch:
                written.append((run.folder.epoch_checkpoint(0).stat().st_mtime_ns, run.folder.last.stat().st_mtime_ns))

    written = []
    train(options(tmp_path, drawn_data, tiny_yaml, epochs=2, save_period=1), hooks=[Moments()])
    ((epoch, last),) = written
    assert epoch < last


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path, drawn_data, tiny_yaml, optimizer, capsys):
    shared = {"optimizer": optimizer, "image_weights": True, "multi_scale": True}
    whole = train(options(tmp_path, drawn_data, tiny_yaml, name="whole", **shared), hooks=[PowerCut()])
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml, name="cut", **shared), hooks=[PowerCut(epoch=2)])
    last = RunFolder(tmp_path / "runs" / "cut").last
    assert load_checkpoint(last).entries["epoch"] == 1
    hook = PowerCut()
    resumed = train(TrainOptions(resume=str(last)), hooks=[hook])
    assert resumed.folder.path == tmp_path / "runs" / "cut"
    one, two = (run.optimizer.state_dict()["state"] for run in (whole, resumed))
    assert all(torch.equal(value, two[i][key]) for i, kept in one.items() for key, value in kept.items())
    for one, two in ((whole.model, resumed.model), (whole.ema.model, resumed.ema.model)):
        assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert hook.steps == resumed.step == whole.step
    assert resumed.best_fitness == whole.best_fitness
    assert resumed.folder.results_csv.read_text() == whole.folder.results_csv.read_text()


def test_an_interrupted_run_says_how_to_go_on(tmp_path, drawn_data, tiny_yaml, capsys):
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml), hooks=[PowerCut(epoch=0)])
    assert "--resume" not in capsys.readouterr().out  # nothing is kept yet
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml, name="cut"), hooks=[PowerCut(epoch=2)])
    last = RunFolder(tmp_path / "runs" / "cut").last
    assert capsys.readouterr().out.endswith(f"\nepochs 0 to 1 are kept; to go on: --resume {last}\n")


def test_a_flag_that_contradicts_the_run_to_resume_is_refused(tmp_path, drawn_data, tiny_yaml):
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml), hooks=[PowerCut(epoch=1)])
    last = str(tmp_path / "runs" / "exp" / "weights" / "last.pt")
    with pytest.raises(InputError, match="--epochs 7: the run to resume has 3; leave --epochs out"):
        resolve(TrainOptions(resume=last, epochs=7))
    found = resolve(TrainOptions(resume=last, workers=3, project="elsewhere"))
    assert found.workers == 3  # the machine may be another one


def test_bare_resume_finds_the_newest_run(tmp_path, drawn_data, tiny_yaml):
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml), hooks=[PowerCut(epoch=1)])
    found = resolve(TrainOptions(resume="newest", project=str(tmp_path / "runs")))
    assert found.resume == str(tmp_path / "runs" / "exp" / "weights" / "last.pt")
    assert (found.epochs, found.imgsz, found.cache) == (3, 64, "ram")
    assert resolve(found) == found
    with pytest.raises(InputError, match=r"no \*/weights/last.pt in"):
        resolve(TrainOptions(resume="newest", project=str(tmp_path / "none")))
    opt = tmp_path / "runs" / "exp" / "opt.yaml"
    opt.write_text(opt.read_text().replace("epochs: 3", "epochs: three"))
    with pytest.raises(InputError, match="epochs: 'three' must be of type int"):
        resolve(found)


@pytest.mark.parametrize(
    ("began", "went_on", "script"),
    [
        (SparsityOptions, TrainOptions, "train_sparsity.py"),
        (TrainOptions, SparsityOptions, "train.py"),
        (FinetuneOptions, SparsityOptions, "finetune_pruned.py"),
    ],
)
def test_resuming_with_another_script_names_the_right_one(tmp_path, began, went_on, script):
    folder = RunFolder(tmp_path / "exp")
    folder.weights.mkdir(parents=True)
    folder.last.write_bytes(b"")
    folder.opt_yaml.write_text(yaml.safe_dump(stored_options(began())))
    with pytest.raises(InputError, match=f"python {script} --resume {folder.last} goes on with it"):
        resolve(went_on(resume=str(folder.last)))
    folder.opt_yaml.write_text(yaml.safe_dump({**stored_options(went_on()), "other": 1}))
    with pytest.raises(InputError, match="unknown key 'other'"):
        resolve(went_on(resume=str(folder.last)))


def test_a_run_whose_hooks_are_lacking_is_not_resumed(tmp_path, drawn_data, tiny_yaml):
    class GuardedFadeOut(PowerCut):
        """Has the name and a state of slim.py's."""

    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml), hooks=[GuardedFadeOut(epoch=1)])
    last = RunFolder(tmp_path / "runs" / "exp").last
    with pytest.raises(InputError, match="the run has a GuardedFadeOut; go on with slim.py"):
        train(TrainOptions(resume=str(last)))


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
