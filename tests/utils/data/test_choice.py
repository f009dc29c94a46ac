import numpy as np
import pytest

from models.yolo import DetectionModel
from utils.data.choice import ChosenClasses, match_classes, side_by_side
from utils.data.config import load_data
from utils.data.shapes import draw_shapes
from utils.data.splits import load_split
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.pruning.structure.head import keep_classes
from utils.training.options import TrainOptions
from utils.training.train import train
from utils.validation.options import ValidationOptions
from utils.validation.val import validate_checkpoint


@pytest.fixture
def config(tmp_path):
    """Four images of drawn shapes, five classes."""
    return load_data(draw_shapes(tmp_path / "shapes", train=2, val=4, imgsz=64, seed=0))


def test_labels_of_other_classes_are_left_out_and_the_rest_renumbered(config):
    said = []
    names = {0: config.names[3], 1: config.names[1]}
    chosen = match_classes(config, names, said.append)
    whole, some = load_split(config, "val", progress=False)[0], load_split(chosen, "val", progress=False)[0]
    assert len(whole) == len(some) == 4 and chosen.nc == 2 and chosen.names == names
    for before, after in zip(whole, some):
        kept = before.labels[np.isin(before.labels[:, 0], [3, 1])]
        assert np.array_equal(after.labels[:, 1:], kept[:, 1:])
        assert [{3: 0, 1: 1}[c] for c in kept[:, 0]] == after.labels[:, 0].tolist()
        if after.segments is not None:
            assert len(after.segments) == len(after.labels)
    assert sum(len(s.labels) for s in some) > 0
    assert f"the model knows 2 of its 5 classes ({names[0]}, {names[1]}); other labels do not count" in said[0]


def test_the_same_and_foreign_classes_change_nothing(config):
    silent = []
    assert match_classes(config, config.names, silent.append) is config
    assert match_classes(config, {0: "unicorn"}, silent.append) is config
    assert not isinstance(config, ChosenClasses) and silent == []


@pytest.fixture
def two(tiny_config, config, tmp_path):
    """A checkpoint that knows two of the five classes."""
    model = DetectionModel({**tiny_config, "nc": 5})
    model.names = config.names
    model = keep_classes(model, [3, 1])
    save_checkpoint(tmp_path / "two.pt", finished_content(model))
    return tmp_path / "two.pt"


def test_validation_and_fine_tuning_keep_to_the_classes_of_the_network(two, config, tmp_path, capsys):
    common = {
        "data": str(config.file),
        "weights": str(two),
        "imgsz": 64,
        "batch_size": 2,
        "device": "cpu",
        "workers": 0,
    }
    evaluation = validate_checkpoint(ValidationOptions(project=str(tmp_path / "val"), **common))
    whole, _ = load_split(config, "val", progress=False)
    assert evaluation.instances == sum(int(np.isin(s.labels[:, 0], [3, 1]).sum()) for s in whole)
    options = TrainOptions(epochs=1, noplots=True, project=str(tmp_path / "runs"), **common)
    run = train(options, transfer=False)
    assert load_checkpoint(run.folder.last).model.names == {0: config.names[3], 1: config.names[1]}
    assert capsys.readouterr().out.count("the model knows 2 of its 5 classes") == 2


@pytest.mark.parametrize("foreign", [True, False])
def test_a_network_of_other_classes_is_still_refused(two, config, tmp_path, foreign):
    checkpoint = load_checkpoint(two)
    if foreign:
        checkpoint.model.names = {0: "unicorn", 1: config.names[0]}
    else:
        del checkpoint.model.yaml["kept_classes"]  # never had more classes: the data may just have got a new one
    save_checkpoint(two, finished_content(checkpoint.model))
    options = TrainOptions(
        weights=str(two), data=str(config.file), epochs=1, device="cpu", project=str(tmp_path / "runs")
    )
    with pytest.raises(InputError, match="has 2 classes, the data 5"):
        train(options, transfer=False)
    assert not (tmp_path / "runs").exists()


def test_a_yaml_without_names_takes_those_of_the_network(config, tmp_path):
    bare = tmp_path / "bare.yaml"
    bare.write_text(f"path: {config.path}\ntrain: images/train\nval: images/val\nnc: 5\n")
    names = {index: f"kind {index}" for index in range(5)}
    assert match_classes(load_data(bare), names).names == names


def test_names_in_another_case_or_with_blanks_are_the_same(config):
    silent = []
    names = {index: f" {name.upper()}" for index, name in config.names.items()}
    assert match_classes(config, names, silent.append).names == names
    some = match_classes(config, {0: names[3]}, silent.append)
    assert isinstance(some, ChosenClasses) and len(silent) == 1
    assert len(load_split(some, "val", progress=False)[0]) == 4


def test_many_names_side_by_side():
    first, second = ({index: f"{kind}{index}" for index in range(count)} for kind, count in (("a", 25), ("A", 22)))
    lines = side_by_side({**first, 1: "x"}, second).splitlines()
    assert lines[0].split() == ["class", "data", "model"]
    assert lines[2].split() == ["1", "x", "A1", "<"]
    assert lines[3].split() == ["2", "a2", "A2"]
    assert lines[-1].strip() == "and 5 more"


def test_a_network_of_one_class_sees_every_object_as_one(config):
    said = []
    one = match_classes(config, {0: "item"}, said.append)
    whole, all_one = load_split(config, "val", progress=False)[0], load_split(one, "val", progress=False)[0]
    assert one.nc == 1 and "--single-cls" in said[0]
    for before, after in zip(whole, all_one, strict=True):
        assert np.array_equal(after.labels[:, 1:], before.labels[:, 1:])
        assert not after.labels[:, 0].any()


def test_commands_after_single_cls_need_not_say_it_again(tiny_config, config, tmp_path):
    """Validation and fine-tuning of a network that was trained with --single-cls, on data of five classes."""
    model = DetectionModel({**tiny_config, "nc": 1})
    model.names = {0: "item"}
    save_checkpoint(tmp_path / "one.pt", finished_content(model))
    shared = {"weights": str(tmp_path / "one.pt"), "data": str(config.file), "imgsz": 64, "workers": 0, "device": "cpu"}
    evaluation = validate_checkpoint(ValidationOptions(**shared, project=str(tmp_path / "val")))
    assert evaluation.instances == sum(len(s.labels) for s in load_split(config, "val", progress=False)[0])
    options = TrainOptions(**shared, epochs=1, batch_size=2, project=str(tmp_path / "runs"), noautoanchor=True)
    run = train(options, keep_classes=True)
    assert run.model.names == {0: "item"} and run.model.nc == 1
