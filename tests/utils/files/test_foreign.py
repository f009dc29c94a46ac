"""Checkpoints of other networks: one line that says what each is. They are made here by other names in a pickle."""

import re
import runpy
import zipfile

import pytest

from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.foreign import NETWORKS, describe
from utils.files.paths import ROOT

MODEL, BLOCK, HEAD = "models.yolo.DetectionModel", "models.common.C3", "models.yolo.Detect"
PACKAGE = "ultralytics.nn.tasks.DetectionModel"
BLOCKS = "ultralytics.nn.modules.block"
KINDS = {
    "YOLOv5 segmentation": {MODEL: "models.yolo.SegmentationModel", HEAD: "models.yolo.Segment"},
    "YOLOv5 classification": {MODEL: "models.yolo.ClassificationModel", HEAD: "models.common.Classify"},
    "YOLOv8": {MODEL: PACKAGE, BLOCK: f"{BLOCKS}.C2f", HEAD: "ultralytics.nn.modules.head.Detect"},
    "YOLO11": {MODEL: "ultralytics.nn.tasks.SegmentationModel", BLOCK: f"{BLOCKS}.C3k2", HEAD: f"{BLOCKS}.C2f"},
    "YOLOv5u": {MODEL: PACKAGE, BLOCK: f"{BLOCKS}.C3"},
    "YOLOv7": {MODEL: "models.yolo.Model", BLOCK: "models.common.SPPCSPC"},
    "torchvision": {MODEL: "torchvision.models.resnet.ResNet"},
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """A function that writes the checkpoint of a tiny detector with other classes {old name: new name}."""
    folder = tmp_path_factory.mktemp("foreign")
    rows = {
        "nc": 1,
        "depth_multiple": 1,
        "width_multiple": 1,
        "anchors": [[8, 8]],
        "backbone": [[-1, 1, "Conv", [8, 3, 8]], [-1, 1, "C3", [8]]],
        "head": [[[1], 1, "Detect", ["nc", "anchors"]]],
    }
    save_checkpoint(folder / "plain.pt", finished_content(DetectionModel(rows)))

    def renamed(classes):
        def name(dotted):
            return "\n".join(dotted.rpartition(".")[::2]).encode() + b"\n"

        with zipfile.ZipFile(folder / "plain.pt") as old, zipfile.ZipFile(folder / "other.pt", "w") as new:
            for entry in old.infolist():
                content = old.read(entry)
                for before, after in classes.items() if entry.filename.endswith("data.pkl") else ():
                    assert name(before) in content
                    content = content.replace(name(before), name(after))
                new.writestr(entry.filename, content)
        return folder / "other.pt"

    return renamed


@pytest.mark.parametrize("kind", KINDS)
def test_the_line_says_what_it_is_and_what_can_be_done(kind, make):
    with pytest.raises(InputError) as error:
        load_checkpoint(make(KINDS[kind]))
    assert re.match(rf".*other\.pt: is an? .*\b{kind}\b.*; .*--weights yolov5s\.pt$", str(error.value))
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_the_detector_itself_is_read(make):
    assert load_checkpoint(make({})).model.nc == 1


def test_names_that_nobody_knows_are_refused_as_before(make):
    with pytest.raises(InputError, match=r"refused, it contains elsewhere\.Network, .*could run code"):
        load_checkpoint(make({MODEL: "elsewhere.Network"}))


def test_the_most_telling_class_counts():
    beginnings = list(NETWORKS)
    for early, late in ((a, b) for i, a in enumerate(beginnings) for b in beginnings[i + 1 :]):
        assert not late.startswith(early), f"{late} is never reached behind {early}"
    assert "YOLO12" in describe([PACKAGE, f"{BLOCKS}.A2C2f", f"{BLOCKS}.C3k2", f"{BLOCKS}.C2f"])
    assert describe(["fractions.Fraction"]) is None


@pytest.mark.parametrize(
    "line",
    [
        "train.py",
        "train_sparsity.py --st",
        "prune.py",
        "finetune_pruned.py",
        "slim.py --steps 1",
        "val.py",
        "detect.py",
        "export.py --include onnx",
        "benchmark.py",
    ],
)
def test_every_script_says_it_and_exits_with_2(line, make, tmp_path, monkeypatch, capsys):
    script, *words = line.split()
    monkeypatch.chdir(tmp_path)
    weights = make(KINDS["YOLOv5 segmentation"])
    monkeypatch.setattr("sys.argv", [script, "--weights", str(weights), "--device", "cpu", *words])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    said = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and "is a YOLOv5 segmentation network" in said[-1]
    assert not list(tmp_path.iterdir())
