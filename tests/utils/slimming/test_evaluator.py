"""What is measured of a checkpoint."""

import json
from dataclasses import asdict

import pytest

from models.cost import count_gflops, count_parameters
from utils.data.config import load_data
from utils.errors import InputError
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.files.hyp import load_hyp
from utils.slimming.evaluator import CheckpointEvaluator
from utils.slimming.options import SlimOptions
from utils.validation.measure import validate


def options(drawn_data, **more):
    values = {"data": str(drawn_data), "imgsz": 50, "workers": 0, "device": "cpu"}
    return SlimOptions(**{**values, **more})


def test_a_checkpoint_is_measured_as_it_lies_on_disk(tiny_cfg, make_lively, label_by, drawn_data, tmp_path):
    tiny_model = make_lively(tiny_cfg)
    label_by(tiny_model)

    def latency(models, size, runtime, rounds):
        return dict.fromkeys(models, {"torch": 3.0, "onnx": 2.0}[runtime])

    tiny_model.names = load_data(drawn_data).names
    save_checkpoint(tmp_path / "step1/a.pt", finished_content(tiny_model))
    hyp = load_hyp("hyp.shapes.yaml")
    evaluator = CheckpointEvaluator.of(options(drawn_data, latency_ms=1.0, runtime="onnx"), hyp, tiny_model, latency)
    assert evaluator.imgsz == 64  # 50, rounded up to whole strides of 16
    found = evaluator.measure(tmp_path / "step1/a.pt", tmp_path)
    assert json.loads(json.dumps(asdict(found)))
    assert found.file == "step1/a.pt" and found.bytes == (tmp_path / "step1/a.pt").stat().st_size
    assert found.parameters == count_parameters(tiny_model) and found.gflops == count_gflops(tiny_model, 64)
    assert (found.ms, found.goal_ms) == (3.0, 2.0) and found.loss > 0
    half = finished_content(tiny_model)["model"]
    result = validate(half, load_data(drawn_data), device="cpu", imgsz=64, workers=0, progress=False)
    assert (found.map50, found.map) == (result.map50, result.map) and result.map > 0.01
    assert set(found.l1) == {name[: -len(".weight")] for name, p in tiny_model.named_parameters() if p.dim() == 4}


def test_other_classes_are_refused(tiny_model, drawn_data):
    tiny_model.names = {0: "red", 1: "green", 2: "blue"}
    with pytest.raises(InputError, match="class 0 is 'blue', but the model calls it 'red'"):
        CheckpointEvaluator.of(options(drawn_data), {}, tiny_model)
