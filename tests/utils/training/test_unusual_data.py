"""Data as strangers bring it: without a validation split, without objects, one image, many classes."""

import json

import pytest
import yaml

from utils.errors import InputError
from utils.sparsity.options import SparsityOptions
from utils.sparsity.train_sparsity import train_sparsity
from utils.training.options import TrainOptions
from utils.training.train import train


def options(drawn, tiny, kind=TrainOptions, **changes):
    values = {"weights": "", "cfg": str(tiny), "data": str(drawn), "imgsz": 64, "batch_size": 4, "epochs": 1}
    machine = {"workers": 0, "device": "cpu", "project": str(drawn.parent / "runs"), "noplots": True}
    return kind(**values | machine | changes)


def change(drawn, **keys):
    drawn.write_text(yaml.safe_dump({**yaml.safe_load(drawn.read_text()), **keys}))


@pytest.mark.parametrize("value", [None, "", []])
def test_without_val_a_run_ends_with_last_and_says_once_that_nothing_was_validated(
    drawn_data, tiny_yaml, capsys, value
):
    change(drawn_data, val=value)
    run = train(options(drawn_data, tiny_yaml, epochs=2, image_weights=True))
    said = capsys.readouterr().out
    assert said.count("trains without validating") == 1
    assert said.endswith(f"weights to use: {run.folder.last}\n")
    assert run.evaluation is None and run.written == {run.folder.last}
    assert json.loads(run.folder.final_json.read_text()) == {"weights": "last.pt"}


def test_rules_on_map_are_refused_where_no_map_can_be_measured(drawn_data, tiny_yaml):
    sparse = options(drawn_data, tiny_yaml, SparsityOptions, st=True, sr="auto", target=0.3, max_drop=0.1)
    for file in (drawn_data.parent / "set/labels/val").iterdir():
        file.write_text("")
    with pytest.raises(InputError, match="--max-drop: .*val holds not one object"):
        train_sparsity(sparse)
    change(drawn_data, val=None)
    with pytest.raises(InputError, match="val is missing"):
        train_sparsity(sparse)
    assert not (drawn_data.parent / "runs").exists()


def test_a_sparse_run_without_val_goes_on_with_a_command_that_works(drawn_data, tiny_yaml, capsys):
    change(drawn_data, val=None)
    run = train_sparsity(options(drawn_data, tiny_yaml, SparsityOptions, st=True, sr="auto", target=0.2, round=1))
    last = capsys.readouterr().out.splitlines()[-1]
    assert f"--weights {run.folder.last} " in last and last.endswith("--noval")


def test_images_without_objects_are_background(drawn_data, tiny_yaml, capsys):
    for file in drawn_data.parent.glob("set/labels/*/*.txt"):
        file.write_text("")
    run = train(options(drawn_data, tiny_yaml))
    assert run.losses[0] == run.losses[2] == 0 < run.losses[1]
    assert "train: no object in any image" in capsys.readouterr().out


def test_one_image_and_a_batch_larger_than_the_set(drawn_data, tiny_yaml):
    for file in [*drawn_data.parent.glob("set/images/train/*.png")][1:]:
        file.unlink()
    run = train(options(drawn_data, tiny_yaml, batch_size=64))
    assert (run.step, run.batch.labelled) == (1, 1) and run.folder.best.is_file()


def test_a_thousand_classes(drawn_data, tiny_yaml):
    change(drawn_data, names=[f"class {number}" for number in range(1000)])
    run = train(options(drawn_data, tiny_yaml))
    assert run.model.nc == 1000 and run.folder.best.is_file()


def test_val_images_that_are_trained_on_are_said(drawn_data, tiny_yaml, capsys):
    change(drawn_data, val="images/train")
    train(options(drawn_data, tiny_yaml))
    assert capsys.readouterr().out.count("val: 8 of its images are in train too") == 1
