"""Files of several kinds behind one interface, in val.py and detect.py too."""

import shutil
import warnings

import numpy as np
import pytest
import torch

from utils.detection.detect import Detector
from utils.detection.hub import AutoShape, load_custom
from utils.detection.options import DetectOptions
from utils.errors import InputError
from utils.export.export import export
from utils.export.options import ExportOptions
from utils.runtimes.interface import predictions_of
from utils.runtimes.runtimes import load_detector, open_weights
from utils.validation.options import ValidationOptions
from utils.validation.val import validate_checkpoint

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(small_weights, tmp_path_factory):
    """Return {suffix: path} of the checkpoint and its files for 64 × 64 and two images at once."""
    weights = shutil.copy(small_weights, tmp_path_factory.mktemp("exported") / "small.pt")
    made = export(ExportOptions(weights=str(weights), include=["onnx", "torchscript"], imgsz=[64], batch_size=2))
    return {file.path.suffix: file.path for file in made} | {".pt": weights}


def test_all_have_the_same_facts_and_take_any_number_of_images(exported):
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    expected = load_detector(exported[".pt"])(images)
    for suffix, path in exported.items():
        runtime = load_detector(path)
        assert runtime.names == {0: "circle", 1: "square", 2: "triangle"} and runtime.nc == 3
        assert runtime.size_multiple == 32
        assert (runtime.shape, runtime.batch) == ((None, None) if suffix == ".pt" else ((64, 64), 2))
        assert torch.allclose(runtime(images), expected, rtol=1e-3, atol=0.02), suffix


def test_validation_gives_the_same_numbers_for_every_kind(exported, detector, label_by, tmp_path, capsys):
    data, results = label_by(detector), {}
    for suffix, path in exported.items():
        results[suffix] = validate_checkpoint(
            ValidationOptions(
                data=str(data),
                weights=str(path),
                imgsz=64,
                batch_size=3,
                workers=0,
                device="cpu",
                single_cls=True,
                project=str(tmp_path / "runs"),
            )
        )
    assert "64x64 pixels" in capsys.readouterr().out
    assert results[".onnx"].map50 == pytest.approx(results[".torchscript"].map50, abs=1e-6) != 0
    assert results[".onnx"].images == results[".pt"].images == 4


def test_detection_letterboxes_to_the_fixed_size(exported):
    image = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)
    found = {}
    for suffix, path in exported.items():
        options = DetectOptions(weights=str(path), device="cpu")
        cpu = torch.device("cpu")
        detector = Detector(open_weights(options, cpu), cpu, (64, 64), conf=0.1, iou=0.5)
        assert detector.fitted_shape(image) == ((32, 64) if suffix == ".pt" else (64, 64))
        found[suffix] = detector(image)
    assert len(found[".onnx"]) and torch.allclose(found[".onnx"], found[".torchscript"], atol=0.01)


def test_exported_files_are_hub_models_too(exported, capsys):
    """A square picture of the files' own size: every kind then sees the same pixels, whatever size is asked for."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    found = {}
    for suffix, path in exported.items():
        model = load_custom(str(path), device="cpu")
        model.conf = 0.1
        results = model([picture] * 3, size=64 if suffix == ".pt" else 640)
        assert results.s == (3, 3, 64, 64) and model.names == {0: "circle", 1: "square", 2: "triangle"}
        found[suffix] = results.xyxy[2]
    assert "small.onnx: ONNX Runtime" in capsys.readouterr().err
    assert len(found[".pt"]) and torch.allclose(found[".onnx"], found[".pt"], atol=0.02)
    assert torch.allclose(found[".torchscript"], found[".pt"], atol=0.02)
    runtime = load_custom(str(exported[".onnx"]), autoshape=False, _verbose=False, device="cpu")
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(AutoShape(runtime)(images), runtime(images))
    with pytest.raises(InputError, match="--augment: works with .pt files only"):
        AutoShape(runtime)(picture, augment=True)


@pytest.mark.parametrize("flag", ["augment", "half"])
def test_flags_that_need_pytorch_are_refused(exported, drawn_data, flag, tmp_path):
    options = ValidationOptions(
        data=str(drawn_data), weights=str(exported[".onnx"]), project=str(tmp_path / "runs"), **{flag: True}
    )
    with pytest.raises(InputError, match=f"--{flag}: works with .pt files only"):
        validate_checkpoint(options)
    assert not (tmp_path / "runs").exists()


def test_detections_become_predictions_and_back():
    rows = torch.tensor([[0, 10, 20, 30, 60, 0.9, 2], [1, 0, 0, 4, 4, 0.5, 0], [0, 1, 1, 3, 3, 0.3, 1]])
    found = predictions_of(rows, 3, 3)
    assert found.shape == (3, 2, 8)
    assert torch.allclose(found[0, 0], torch.tensor([20, 40, 20, 40, 0.9, 0, 0, 1]))
    assert found[1, 0].tolist() == [2, 2, 4, 4, 0.5, 1, 0, 0]
    assert not found[2].any() and not found[1, 1].any()
    assert predictions_of(rows[:0], 2, 3).shape == (2, 0, 8)


def test_files_of_the_public_export_are_read(exported, tmp_path):
    model = onnx.load(str(exported[".onnx"]))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"stride": "32", "names": "['a', 'b', 'c']"})  # a list, in older versions
    onnx.save(model, str(tmp_path / "public.onnx"))
    assert load_detector(tmp_path / "public.onnx").names == {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "no metadata 'names'"),
        (
            {"stride": "32", "names": "{0: 'a'}"},
            r"output is \[2, 252, 8\], but that of a YOLOv5 detector is \[B, N, 6\]",
        ),
        ({"stride": "32", "names": "import os"}, "unreadable"),
        ({"stride": "many", "names": "['a', 'b', 'c']"}, "unreadable"),
    ],
)
def test_the_file_of_another_detector_is_named(exported, tmp_path, change, expected):
    model = onnx.load(str(exported[".onnx"]))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, change)
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(InputError, match=expected):
        load_detector(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("broken.onnx", "not a readable ONNX file"),
        ("broken.torchscript", "not a readable TorchScript file"),
        ("broken.pb", "must end in .pt, .onnx"),
        ("nowhere.onnx", "no such weight file"),
        ("x_openvino_model", "holds 0 .xml files"),
        ("x_ncnn_model/", "no model.ncnn.param and no model.ncnn.bin"),
    ],
)
def test_unreadable_files_are_one_line(tmp_path, name, expected):
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(InputError, match=expected) as error:
        load_detector(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("facts", "network", "expected"),
    [
        ("stride: 32\nnames: {0: a}\nimgsz: [64, 64]\n", "nothing", "not a readable ncnn model"),
        ("stride: 32\nnames: {0: a}\nimgsz: 64\n", "nothing", "metadata imgsz is 64; must be .height, width."),
        ("names: {0: a}\n", "nothing", "no metadata 'stride'"),
    ],
)
def test_unreadable_ncnn_folders_are_one_line(tmp_path, facts, network, expected):
    pytest.importorskip("ncnn")
    folder = tmp_path / "x_ncnn_model"
    folder.mkdir()
    for name, content in (("metadata.yaml", facts), ("model.ncnn.param", network), ("model.ncnn.bin", "")):
        (folder / name).write_text(content)
    with pytest.raises(InputError, match=expected) as error:
        load_detector(folder)
    assert "\n" not in str(error.value)


def test_torchscript_without_our_config_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(tmp_path / "other.torchscript"))
    with pytest.raises(InputError, match="no metadata 'names'"):
        load_detector(tmp_path / "other.torchscript")
