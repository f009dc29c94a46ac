"""Validation of checkpoints as val.py does it, and agreement with numbers of the public code."""

import json
from copy import deepcopy

import pytest
import torch
import yaml

from utils.data.config import load_data
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.validation.measure import check_classes, validate, whole_strides
from utils.validation.options import ValidationOptions
from utils.validation.unstructured import zero_share, zero_smallest
from utils.validation.val import validate_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def network(tiny_cfg, make_lively):
    """Return a small network that finds boxes."""
    model = make_lively(tiny_cfg)
    model.names = {0: "blue", 1: "green", 2: "red"}
    return model


@pytest.fixture
def checkpoint(network, tmp_path):
    """Write it as a checkpoint."""
    save_checkpoint(tmp_path / "tiny.pt", finished_content(network))
    return tmp_path / "tiny.pt"


@pytest.fixture
def options(checkpoint, network, label_by, tmp_path):
    """Return options to validate it on drawn images, labelled with what it finds."""
    return ValidationOptions(
        data=str(label_by(network)),
        weights=str(checkpoint),
        batch_size=2,
        imgsz=64,
        workers=0,
        device="cpu",
        project=str(tmp_path / "runs"),
    )


def test_a_run_writes_its_files_and_says_where(options, tmp_path, capsys):
    options.save_txt = options.save_json = True
    result = validate_checkpoint(options)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Validating ")
    assert lines[-1] == f"Results saved to {tmp_path / 'runs' / 'exp'}"
    labels = [file.read_text().splitlines() for file in (tmp_path / "set/labels/val").iterdir()]
    assert (result.images, result.instances) == (4, sum(map(len, labels)))
    assert result.map50 > 0.2
    written = {file.relative_to(tmp_path / "runs" / "exp").as_posix() for file in (tmp_path / "runs").rglob("*.*")}
    assert {
        "PR_curve.png",
        "confusion_matrix.png",
        "val_batch0_pred.jpg",
        "val_batch1_labels.jpg",
        "labels/0.txt",
    } <= written
    assert isinstance(json.loads((tmp_path / "runs/exp/tiny_predictions.json").read_text()), list)


@pytest.mark.parametrize("flag", ["augment", "single_cls", "half"])
def test_flags_give_finite_numbers(options, flag):
    setattr(options, flag, True)
    result = validate_checkpoint(options)
    assert 0.01 < result.map <= result.map50 <= 1
    assert result.confusion.nc == (1 if flag == "single_cls" else 3)


def test_sparsity_is_saved_as_it_was_measured(options, tmp_path, capsys):
    options.sparsity, options.save_sparse = 0.5, str(tmp_path / "sparse.pt")
    result = validate_checkpoint(options)
    assert "50.0% of each convolution's weights set to zero: " in capsys.readouterr().out
    saved = load_checkpoint(tmp_path / "sparse.pt").model
    assert zero_share(saved.model[0].conv) == 0.5
    again = validate(saved, load_data(options.data), device=CPU, imgsz=64, batch_size=2, workers=0, progress=False)
    assert (again.map50, again.map) == pytest.approx((result.map50, result.map), abs=1e-6)
    assert again.map50 > 0.01
    with pytest.raises(InputError, match="sparse.pt: exists already"):
        validate_checkpoint(options)


@pytest.mark.parametrize(
    "change",
    [
        {"save_sparse": "x.pt"},
        {"sparsity": 0.5, "save_sparse": "x.onnx"},
        {"task": "study"},
        {"save_hybrid": True},
        {"dnn": True},
        {"save_conf": True},
        {"task": "test"},
        {"data": "nothing.yaml"},
        {"weights": "nothing.pt"},
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(options, tmp_path, change):
    for name, value in change.items():
        setattr(options, name, value)
    with pytest.raises(InputError):
        validate_checkpoint(options)
    assert not (tmp_path / "runs").exists()


def test_other_classes_are_refused(tiny_model, drawn_data):
    config = load_data(drawn_data)
    check_classes(tiny_model, config)  # a network that was never told names
    tiny_model.names = {0: "blue", 1: "red", 2: "green"}
    with pytest.raises(
        InputError,
        match=r"class 1 is 'green', but the model calls it 'red'(.|\n)*\n  1 +green +red +<\n  2 +red +green +<$",
    ):
        check_classes(tiny_model, config)
    tiny_model.names = {0: "Blue", 1: " green", 2: "RED"}
    check_classes(tiny_model, config)
    tiny_model.nc = 4
    with pytest.raises(InputError, match="3 classes, but the model has 4"):
        check_classes(tiny_model, config)


def test_the_model_is_left_as_it_is(tiny_model, drawn_data):
    tiny_model.train()
    before = deepcopy(tiny_model.state_dict())
    validate(tiny_model, load_data(drawn_data), device=CPU, imgsz=64, batch_size=4, workers=0, progress=False)
    after = tiny_model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert tiny_model.training


def test_sizes_are_rounded_up_to_whole_strides(capsys):
    assert whole_strides(640, 32) == 640
    assert not capsys.readouterr().err
    assert whole_strides(641, 32) == 672
    assert "672 is used" in capsys.readouterr().err


def test_weights_without_a_network_are_validated_with_their_yaml(options, network, tiny_yaml, tmp_path):
    expected = validate_checkpoint(options)
    torch.save(network.half().float().state_dict(), tmp_path / "state.pt")
    options.weights, options.cfg = str(tmp_path / "state.pt"), str(tiny_yaml)
    assert validate_checkpoint(options).map50 == pytest.approx(expected.map50, abs=1e-9) != 0


def test_agreement_on_unstructured_sparsity(shared_data, tmp_path):
    model = load_checkpoint(shared_data / "weights/yolov5n.pt").model
    assert zero_smallest(model, 0.3) == pytest.approx(0.3, abs=2e-3)
    result = validate(
        model, coco_val(shared_data, tmp_path), device=CPU, imgsz=640, batch_size=16, workers=0, progress=False
    )
    assert (result.map50, result.map) == pytest.approx((0.211, 0.119), abs=1e-3)


def coco_val(shared_data, tmp_path):
    """Return the DataConfig of the val2017 images with the names of the train images' COCO file."""
    content = json.loads((shared_data / "coco128/annotations/instances_train2017.json").read_text())
    names = [category["name"] for category in content["categories"]]
    data = tmp_path / "coco.yaml"
    data.write_text(yaml.safe_dump({"path": str(shared_data / "coco128"), "val": "images/val2017", "names": names}))
    return load_data(data)


def test_agreement_with_the_public_code(shared_data, tmp_path):
    """One image a batch: its shape then does not depend on how images of equal aspect ratio are ordered."""
    model = load_checkpoint(shared_data / "weights/yolov5n.pt").model
    result = validate(
        model, coco_val(shared_data, tmp_path), device=CPU, imgsz=640, batch_size=1, workers=0, progress=False
    )
    assert (result.map50, result.map) == pytest.approx((0.532, 0.346), abs=1e-3)
    assert (result.precision, result.recall) == pytest.approx((0.560, 0.506), abs=5e-3)
