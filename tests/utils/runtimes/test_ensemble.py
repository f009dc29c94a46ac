"""Several files in --weights against their predictions put together by hand."""

import shutil

import numpy as np
import pytest
import torch

from utils.boxes.geometry import non_max_suppression, scale_boxes
from utils.detection.detect import make_detector
from utils.detection.options import DetectOptions
from utils.errors import InputError
from utils.export.export import export
from utils.export.options import ExportOptions
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.runtimes.runtimes import load_detector
from utils.validation.options import ValidationOptions
from utils.validation.val import validate_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pair(small_weights, tmp_path_factory):
    """Return two files of the same classes: a checkpoint, and another with other last weights as TorchScript, 64x64."""
    folder = tmp_path_factory.mktemp("pair")
    first, second = (shutil.copy(small_weights, folder / f"{name}.pt") for name in "ab")
    model = load_checkpoint(second).model
    with torch.no_grad():
        for conv in model.model[-1].m:
            conv.bias.copy_(conv.bias.flip(0))
    save_checkpoint(second, finished_content(model))
    (made,) = export(ExportOptions(weights=str(second), imgsz=[64]))
    return [str(first), str(made.path)]


def test_the_predictions_of_all_go_through_one_suppression(pair):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    detector = make_detector(DetectOptions(weights=pair, imgsz=[64], device="cpu", conf_thres=0.1))
    pixels = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy())[None].float() / 255
    joined = torch.cat([load_detector(path)(pixels) for path in pair], 1)
    (expected,) = non_max_suppression(joined, 0.1, 0.45, multi_label=False, max_det=1000)
    expected[:, :4] = scale_boxes(expected[:, :4], (64, 64), (64, 64))
    assert torch.equal(detector(image), expected)
    alone = make_detector(DetectOptions(weights=pair[0], imgsz=[64], device="cpu", conf_thres=0.1))(image)
    assert len(alone) and not torch.equal(expected, alone)


def test_twice_the_same_detector_is_that_detector(small_weights, detector, label_by, tmp_path):
    data, found = str(label_by(detector)), []
    for weights in (str(small_weights), [str(small_weights)] * 2):
        names = {"data": data, "weights": weights, "project": str(tmp_path / "runs"), "device": "cpu"}
        found.append(validate_checkpoint(ValidationOptions(**names, imgsz=64, workers=0, single_cls=True)).map)
    assert found[0] == pytest.approx(found[1], abs=1e-3) and found[0] > 0.05


def test_members_of_other_classes_or_sizes_are_refused_in_one_line(pair, small_weights, tmp_path):
    model = load_checkpoint(small_weights).model
    model.names = {0: "circle", 1: "oval", 2: "triangle"}
    save_checkpoint(tmp_path / "other.pt", finished_content(model))
    with pytest.raises(InputError, match=r"^.*other.pt: calls class 1 'oval', .* calls it 'square'; .*$"):
        make_detector(DetectOptions(weights=[pair[0], str(tmp_path / "other.pt")], device="cpu"))
    (wide,) = export(ExportOptions(weights=shutil.copy(pair[0], tmp_path / "wide.pt"), imgsz=[32, 64]))
    with pytest.raises(InputError, match=r"^.*wide.torchscript: is for images of 32x64, .*b.torchscript for 64x64$"):
        make_detector(DetectOptions(weights=[pair[1], str(wide.path)], device="cpu"))
    with pytest.raises(InputError, match="--visualize: works with one checkpoint only, not with 2 files"):
        make_detector(DetectOptions(weights=[pair[0]] * 2, visualize=True, device="cpu"))


@pytest.mark.parametrize(("size", "lines"), [(None, 0), ([64], 0), ([640], 1), ([32, 64], 1)])
def test_another_size_than_that_of_the_file_is_said(pair, size, lines, capsys):
    detector = make_detector(DetectOptions(weights=pair[1], imgsz=size, device="cpu"))
    said = capsys.readouterr().err
    assert detector.imgsz == (64, 64)
    assert said.count("b.torchscript takes images of 64x64 alone") == lines == len(said.splitlines())
