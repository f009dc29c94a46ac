"""The models as other programs load them, through torch.hub."""

import inspect

import cv2
import numpy as np
import pytest
import torch

import hubconf
from models.yolo import DetectionModel
from utils.detection.detect import detect
from utils.detection.hub import AutoShape
from utils.detection.options import DetectOptions
from utils.errors import InputError
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.files.paths import ROOT

NAMES = [f"yolov5{size}{kind}" for kind in ("", "6") for size in "nsmlx"]


def load(name, **arguments):
    """Call an entry point of the project's hubconf.py as a program would."""
    return torch.hub.load(str(ROOT), name, source="local", device="cpu", **arguments)


@pytest.fixture
def weights(tiny_config, tmp_path):
    """Return a checkpoint of a tiny network of two classes."""
    model = DetectionModel(tiny_config)
    model.names = {0: "cat", 1: "dog"}
    save_checkpoint(tmp_path / "tiny.pt", finished_content(model))
    return tmp_path / "tiny.pt"


@pytest.fixture
def public_weights(tmp_path, monkeypatch):
    """Be in a folder with a yolov5n.pt of 80 classes, as if it had been downloaded."""
    model = DetectionModel(ROOT / "models/yolov5n.yaml")
    model.names = {index: f"thing {index}" for index in range(80)}
    save_checkpoint(tmp_path / "yolov5n.pt", finished_content(model))
    monkeypatch.chdir(tmp_path)
    return model


def test_all_entry_points_are_there():
    entries = {name for name, value in vars(hubconf).items() if callable(value)}
    assert entries >= {"custom", *NAMES}
    assert "public model yolov5s6" in hubconf.yolov5s6.__doc__


def test_entry_points_take_the_public_arguments():
    public = {"pretrained": True, "channels": 3, "classes": 80, "autoshape": True, "_verbose": True, "device": None}
    for name in NAMES:
        parameters = inspect.signature(getattr(hubconf, name)).parameters
        assert {key: parameter.default for key, parameter in parameters.items()} == public
    assert list(inspect.signature(hubconf.custom).parameters) == ["path", "autoshape", "_verbose", "device"]


def test_a_custom_model_takes_pictures(weights, capsys):
    model = load("custom", path=str(weights))
    assert isinstance(model, AutoShape) and not model.training
    assert model.names == {0: "cat", 1: "dog"} and model.stride == 32
    assert "tiny summary: " in capsys.readouterr().err
    assert len(model([np.zeros((48, 64, 3), np.uint8)] * 3, size=64)) == 3


def test_without_autoshape_it_is_the_network(weights, capsys):
    model = load("custom", path=str(weights), autoshape=False, _verbose=False)
    assert isinstance(model, DetectionModel)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert capsys.readouterr().err == ""


def test_a_public_model_is_found_by_name(public_weights):
    model = load("yolov5n", _verbose=False)
    assert isinstance(model, AutoShape) and model.names[79] == "thing 79"


def test_other_classes_and_channels_keep_the_weights_that_fit(public_weights):
    model = load("yolov5n", classes=2, channels=4, _verbose=False)
    assert type(model) is DetectionModel and model.training  # to be trained
    assert model.model[0].conv.weight.shape[1] == 4 and model.nc == 2 and len(model.names) == 2
    public = public_weights.half().float()  # as stored
    assert torch.equal(model.model[1].conv.weight, public.model[1].conv.weight)
    assert model.model[24].m[0].bias.shape == (3 * 7,)


def test_not_pretrained_needs_no_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = load("yolov5n6", pretrained=False, _verbose=False)
    assert sum(p.numel() for p in model.parameters()) == 3246940
    assert model.stride.tolist() == [8, 16, 32, 64]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="absent.pt: no such weight file"):
        load("custom", path=str(tmp_path / "absent.pt"))


def test_the_hub_model_sees_what_detect_sees(shared_data, tmp_path):
    image = sorted((shared_data / "coco128/images/train2017").iterdir())[1]
    weights = str(shared_data / "weights/yolov5n.pt")
    detect(
        DetectOptions(
            weights=weights,
            source=str(image),
            imgsz=[320],
            device="cpu",
            save_txt=True,
            save_conf=True,
            nosave=True,
            project=str(tmp_path),
        )
    )
    rows = np.loadtxt(tmp_path / f"exp/labels/{image.stem}.txt", ndmin=2)
    model = load("custom", path=weights, _verbose=False)
    rgb = cv2.imread(str(image))[..., ::-1]
    for source in (str(image), image, rgb):
        (found,) = model(source, size=320).xywhn
        assert len(rows) > 0
        assert found[:, [5, 0, 1, 2, 3, 4]].numpy() == pytest.approx(rows, abs=1e-5)
