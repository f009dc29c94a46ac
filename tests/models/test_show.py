"""The table of layers, and the script that prints it."""

import subprocess
import sys

import pytest
import torch

from models.errors import SpecError
from models.show import find_yaml, layer_table, layer_times, main, pass_times, summary
from models.yolo import DetectionModel
from utils.files.paths import ROOT


def script(folder, *words):
    """Run models/yolo.py in a folder; return the finished process."""
    line = [sys.executable, str(ROOT / "models/yolo.py"), *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_script_prints_layers_and_published_sizes(tmp_path):
    result = script(tmp_path, "--cfg", "yolov5n.yaml", "--device", "cpu")
    assert result.returncode == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["from", "n", "params", "module", "arguments"]
    # By hand: 6·6·3·16 weights and 2·16 of the batch norm.
    assert lines[1].split(maxsplit=5) == ["0", "-1", "1", "1760", "models.common.Conv", "[3, 16, 6, 2, 2]"]
    assert lines[7].split(maxsplit=5)[2:] == ["3", "156928", "models.common.C3", "[128, 128, 3]"]
    anchors = "[[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]]"
    assert lines[25].endswith(f"[80, {anchors}, [64, 128, 256]]")
    assert len(lines) == 1 + 25 + 2
    assert "1872157 parameters, 1872157 gradients, 4.5 GFLOPs" in lines[26]  # as published
    assert "1867405 parameters, 0 gradients" in lines[27]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cfg", "absent.yaml"], "--cfg absent.yaml: no such model yaml"),
        (["--batch-size", "0"], "--batch-size 0: must be at least 1"),
        (["--device", "gpu"], "--device gpu: must be cpu or a GPU's number"),
        (["--evolve"], "unrecognized arguments: --evolve"),
    ],
)
def test_wrong_input_is_one_line(monkeypatch, capsys, words, message):
    monkeypatch.setattr("sys.argv", ["yolo.py", *words])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith(f"yolo.py: error: {message}") and said.count("\n") == 1


def test_yamls_are_found_by_name_and_by_path(tmp_path):
    for name in ("yolov5n.yaml", "yolov5n6.yaml", "models/hub/yolov5n6.yaml", str(ROOT / "models/yolov5n.yaml")):
        assert find_yaml(name).is_file()
    with pytest.raises(SpecError):
        find_yaml(str(tmp_path))


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov5n6", "yolov5s-transformer", "yolov5-bifpn", "yolov5s-ghost"])
def test_parameters_of_the_table_add_up(name):
    cfg = find_yaml(f"{name}.yaml")
    with torch.device("meta"):
        model = DetectionModel(cfg)
    rows = [line.split(maxsplit=3) for line in layer_table(cfg, model).replace(", ", ",").splitlines()[1:]]
    assert [int(row[0]) for row in rows] == list(range(len(model.model)))
    assert sum(int(row[3].split()[0]) for row in rows) == sum(p.numel() for p in model.parameters())


class Clock:
    """A clock that a second passes on at each look."""

    now = 0

    def __call__(self):
        self.now += 1
        return self.now


def test_times_are_means_in_milliseconds_and_leave_no_hooks(tiny_config):
    model, images = DetectionModel(tiny_config), torch.zeros(1, 3, 64, 64)
    assert layer_times(model, images, Clock()) == [1000] * 25
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.model)
    assert pass_times(model, images, Clock()) == [1000, 1000]
    assert model.model[0].conv.weight.grad is not None


def test_frozen_parameters_have_no_gradients(tiny_config):
    model = DetectionModel(tiny_config)
    total = sum(p.numel() for p in model.parameters())
    model.model[0].requires_grad_(False)
    assert f"{total} parameters, {total - model.model[0].np} gradients" in summary("tiny", model)
