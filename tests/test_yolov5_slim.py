"""The functions beside the commands: what they take, what they say, and what they load."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import yolov5_slim
from models.yolo import DetectionModel
from utils.data.config import load_data
from utils.data.shapes import draw_shapes
from utils.export.options import ExportOptions
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.files.paths import ROOT
from utils.finetuning.options import FinetuneOptions
from utils.pruning.options import PruneOptions
from utils.slimming.options import SlimOptions
from utils.sparsity.options import SparsityOptions
from utils.training.options import TrainOptions
from utils.validation.options import ValidationOptions
from yolov5_slim.calls import read_keywords

FUNCTIONS = {
    "train": TrainOptions,
    "sparsify": SparsityOptions,
    "finetune": FinetuneOptions,
    "prune": PruneOptions,
    "slim": SlimOptions,
    "val": ValidationOptions,
    "export": ExportOptions,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with tiny.pt, a network for the shapes, and the data yaml of eight of them."""
    folder = tmp_path_factory.mktemp("place")
    draw_shapes(folder / "shapes", train=4, val=4, imgsz=64, seed=0)
    torch.manual_seed(0)
    rows = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    names = load_data(folder / "shapes/shapes.yaml").names
    model = DetectionModel({**rows, "width_multiple": 0.125, "nc": len(names)})
    model.names = names
    save_checkpoint(folder / "tiny.pt", finished_content(model))
    return folder


@pytest.mark.parametrize(("name", "options"), FUNCTIONS.items())
def test_keywords_are_the_fields_of_the_options_with_their_defaults(name, options):
    shown = inspect.signature(getattr(yolov5_slim, name)).parameters
    defaults = {key: value.default for key, value in shown.items() if key not in ("quiet", "progress")}
    assert list(defaults) == [field.name for field in dataclasses.fields(options)]
    for field in dataclasses.fields(options):
        factory = field.default_factory
        assert defaults[field.name] == (field.default if factory is dataclasses.MISSING else factory())


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("train", {"epoch": 3}, "train(): unknown key 'epoch'; did you mean 'epochs'?"),
        ("train", {"batch": 8}, "did you mean 'batch_size'?"),
        ("train", {"zzz": 8}, "unknown key 'zzz'; help lists the keywords"),
        ("train", {"quite": True}, "did you mean 'quiet'?"),
        ("train", {"epochs": "3"}, "train(): epochs: '3' must be of type int"),
        ("train", {"epochs": True}, "epochs: True must be of type int"),
        ("train", {"epochs": 2.5}, "epochs: 2.5 must be of type int"),
        ("train", {"rect": 1}, "rect: 1 must be of type bool"),
        ("train", {"freeze": [0, "a"]}, "freeze: [0, 'a'] must be of type int"),
        ("train", {"weights": ["a.pt"]}, "weights: ['a.pt'] must be of type str"),
        ("train", {"optimizer": "sgd"}, "optimizer: 'sgd' must be one of SGD, Adam, AdamW, auto"),
        ("train", {"epochs": 0}, "--epochs 0: must be at least 1"),
        ("sparsify", {"sr": 0.005}, "--sr 0.005: has no effect without --st"),
        ("prune", {"flops": 0.5, "params": 0.5}, "only one budget at a time"),
        ("prune", {"show": True}, "start prune.py with them"),
        ("slim", {"flops": 0.5, "params": 0.5}, "exclude each other"),
        ("slim", {"sweep": True, "shares": (0.3, 0.5)}, "start slim.py with it"),
        ("val", {"weights": 3.5, "data": {}}, "data: {} must be of type str"),
        ("export", {"include": ["keras"]}, "include: ['keras'] must be one of onnx"),
    ],
)
def test_wrong_keywords_are_told_in_one_line(name, given, message, capsys):
    with pytest.raises(yolov5_slim.InputError, match=re.escape(message)) as error:
        getattr(yolov5_slim, name)(**given)
    assert "\n" not in str(error.value) and capsys.readouterr() == ("", "")


def test_what_means_the_same_in_python_is_taken():
    given = {"weights": Path("a.pt"), "device": 0, "freeze": 10, "label_smoothing": 0, "cache": None}
    assert read_keywords("train", TrainOptions, given) == {
        "weights": "a.pt",
        "device": "0",
        "freeze": [10],
        "label_smoothing": 0,
    }
    assert read_keywords("val", ValidationOptions, {"weights": (Path("a.pt"), "b.pt")}) == {"weights": ["a.pt", "b.pt"]}
    assert read_keywords("export", ExportOptions, {"imgsz": (64, 96)}) == {"imgsz": [64, 96]}


def test_a_quiet_call_prints_nothing_and_keeps_what_it_would_have_said(place, tmp_path, capfd):
    events = []
    common = {"weights": place / "tiny.pt", "data": place / "shapes/shapes.yaml", "imgsz": 64, "workers": 0}
    found = yolov5_slim.val(**common, device="cpu", project=tmp_path, quiet=True, progress=events.append)
    assert capfd.readouterr() == ("", "")
    assert found.images == 4 and found.folder.parent == tmp_path and "mAP50-95" in found.output
    assert any(event.done == event.total for event in events)
    narrow = yolov5_slim.prune(**common, device="cpu", percent=0.2, noval=True, min_channels=1, round=1, dry_run=True)
    assert narrow.weights is None and narrow.after.parameters < narrow.before.parameters
    assert "dry run" in capfd.readouterr().out and narrow.output == ""


def test_what_progress_raises_ends_the_call(place, tmp_path):
    class Enough(Exception):
        pass

    def stop(event):
        raise Enough

    common = {"data": place / "shapes/shapes.yaml", "imgsz": 64, "workers": 0, "device": "cpu", "project": tmp_path}
    with pytest.raises(Enough):
        yolov5_slim.train(weights=place / "tiny.pt", epochs=1, noplots=True, quiet=True, progress=stop, **common)


def test_importing_loads_nothing_heavy():
    code = "import sys, yolov5_slim; print([name for name in ('torch', 'cv2', 'numpy') if name in sys.modules])"
    line = [sys.executable, "-c", code]
    assert subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout == "[]\n"


def test_the_document_calls_the_functions_with_what_they_take():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/PYTHON.md").read_text(encoding="utf-8"), flags=re.S)
    calls = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    named = [(call.func.id, call.keywords) for call in calls if isinstance(call.func, ast.Name)]
    told = [(name, keyword.arg) for name, keywords in named if name in FUNCTIONS for keyword in keywords]
    assert len(told) >= 20
    unknown = [(name, key) for name, key in told if key not in FUNCTIONS[name].__dataclass_fields__]
    assert not unknown


def test_slim_tells_where_it_began_and_where_it_ended(place, tmp_path):
    given = {"weights": place / "tiny.pt", "data": place / "shapes/shapes.yaml", "imgsz": 64, "workers": 0}
    found = yolov5_slim.slim(**given, flops=0.5, hours=0, device="cpu", project=tmp_path, quiet=True)
    assert found.folder == tmp_path / "exp" and found.weights.name == "slim.pt" and found.weights.is_file()
    assert found.steps == 0 and found.start == found.end and found.reason in found.output
