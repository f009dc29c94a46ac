"""export.py, val.py, detect.py and benchmark.py on what does not fit: one line, exit code 2, nothing written."""

import runpy
import shutil
import sys

import cv2
import numpy as np
import pytest

from utils.files.paths import ROOT

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SCRIPTS = ("export.py", "val.py", "detect.py", "benchmark.py")


@pytest.fixture(scope="module")
def other_onnx(tmp_path_factory):
    """Return an .onnx file of a detector that is no YOLOv5: [1, 100, 4] boxes out of images [1, 3, 64, 64]."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    reshape = helper.make_node("Reshape", ["images", "shape"], ["rows"])
    cut = helper.make_node("Slice", ["rows", "start", "end"], ["boxes"])
    numbers = {"shape": [1, -1, 4], "start": [0, 0, 0], "end": [1, 100, 4]}
    constants = [onnx.numpy_helper.from_array(np.array(v, np.int64), name) for name, v in numbers.items()]
    images = helper.make_tensor_value_info("images", kind, [1, 3, 64, 64])
    boxes = helper.make_tensor_value_info("boxes", kind, [1, 100, 4])
    graph = helper.make_graph([reshape, cut], "other", [images], [boxes], constants)
    path = tmp_path_factory.mktemp("other") / "other.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.fixture
def place(weights, other_onnx, drawn_data, tmp_path, monkeypatch):
    """Return the working folder, with data yamls that do and do not fit, a picture and an empty file."""
    shutil.copy(other_onnx, tmp_path)
    text = drawn_data.read_text()
    fits = text.replace("blue", "circle").replace("green", "square").replace("red", "triangle")
    (tmp_path / "fits.yaml").write_text(fits)
    (tmp_path / "two.yaml").write_text(text.replace("- red\n", ""))
    (tmp_path / "file").write_text("")
    cv2.imwrite(str(tmp_path / "image.png"), np.zeros((64, 64, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(monkeypatch, capsys, script, *words):
    """Run a script as if it had been typed; return (exit code, lines on stderr)."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    capsys.readouterr()
    code = 0
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err.strip().splitlines()


def words_for(script, weights="small.pt", data="fits.yaml", project="runs", imgsz=64):
    """Return the options with which a script runs on these things."""
    words = ["--weights", weights, "--imgsz", imgsz, "--device", "cpu"]
    words += ["--source", "image.png"] if script == "detect.py" else ["--data", data]
    words += ["--project", project] if script != "export.py" else ["--include", "onnx"]
    return words + {"val.py": ["--workers", 0], "benchmark.py": ["--rounds", 2]}.get(script, [])


@pytest.mark.parametrize(
    ("script", "change", "expected"),
    [
        ("export.py", {"data": "drawn.yaml"}, "class 0 is 'blue', but the model calls it 'circle'"),
        ("val.py", {"data": "drawn.yaml"}, "class 0 is 'blue', but the model calls it 'circle'"),
        ("benchmark.py", {"data": "drawn.yaml"}, "class 0 is 'blue', but the model calls it 'circle'"),
        ("export.py", {"data": "two.yaml"}, "two.yaml: 2 classes, but the model has 3"),
        ("val.py", {"data": "two.yaml"}, "two.yaml: 2 classes, but the model has 3"),
        ("benchmark.py", {"data": "two.yaml"}, "two.yaml: 2 classes, but the model has 3"),
        ("export.py", {"weights": "other.onnx"}, "other.onnx: not a readable PyTorch checkpoint"),
        *((script, {"weights": "other.onnx"}, "other.onnx: no metadata 'names'") for script in SCRIPTS[1:]),
        ("benchmark.py", {"project": "file/runs"}, "file/runs/exp: cannot be created"),
        *(
            (
                script,
                {"project": "file/runs", "weights": "nowhere.pt"},
                "--project file/runs: ",
            )  # said before they are read
            for script in ("val.py", "detect.py")
        ),
        *((script, {"imgsz": 16}, "16") for script in ("export.py", "val.py")),
        *((script, {"imgsz": "wide"}, "--imgsz") for script in ("export.py", "val.py", "benchmark.py")),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(place, monkeypatch, capsys, script, change, expected):
    before = sorted(place.iterdir())
    code, lines = typed(monkeypatch, capsys, script, *words_for(script, **change))
    assert code == 2, lines
    (error,) = (line for line in lines if line.startswith(f"{script}: error: "))  # a table of names may follow
    assert expected in error
    assert not any("Traceback" in line for line in lines)
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("script", ["export.py", "val.py", "benchmark.py"])
def test_data_may_have_more_classes_than_a_network_that_was_cut_to_some(place, monkeypatch, capsys, script):
    monkeypatch.setattr("utils.benchmark.benchmark.peak_memory", lambda *_: None)
    (place / "more.yaml").write_text((place / "fits.yaml").read_text().replace("- triangle\n", "- triangle\n- star\n"))
    code, lines = typed(monkeypatch, capsys, script, *words_for(script, data="more.yaml"))
    assert code == 0, lines


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_size_off_the_stride_is_rounded_up_in_one_line(place, monkeypatch, capsys, script):
    monkeypatch.setattr("utils.benchmark.benchmark.peak_memory", lambda *_: None)  # it starts a process for each file
    words = words_for(script, imgsz=60, data="fits.yaml" if script == "val.py" else "")
    code, lines = typed(monkeypatch, capsys, script, *words)
    assert code == 0
    assert [line for line in lines if "--imgsz" in line] == ["--imgsz 60: not a multiple of the stride 32; 64 is used"]
