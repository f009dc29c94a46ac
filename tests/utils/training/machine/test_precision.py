"""Which precision --amp auto takes on a CPU: measured once, remembered, the same after a resume."""

import json

import pytest
import torch

from models.yolo import DetectionModel
from utils.files.paths import ROOT
from utils.training.machine import precision
from utils.training.machine.precision import STEP, bfloat16_gain, faster_in_bfloat16, trial_size
from utils.training.options import TrainOptions
from utils.training.plan import make_plan
from utils.training.train import settle_precision

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="PyTorch has no bfloat16 for this processor"
)


@pytest.fixture(scope="module")
def network():
    return DetectionModel(ROOT / "models/yolov5n.yaml", nc=3)


@needs_bfloat16
@pytest.mark.parametrize(("gain", "faster"), [(1.6, True), (1.1, True), (1.09, False), (0.8, False)])
def test_bfloat16_is_taken_where_it_gains_and_measured_once(network, tmp_path, gain, faster):
    asked = []

    def measure(*args):
        asked.append(args)
        return gain

    first = faster_in_bfloat16(network, 320, 16, tmp_path / "caches", measure)
    again = faster_in_bfloat16(network, 320, 16, tmp_path / "caches", measure)
    assert first[0] is again[0] is faster
    assert len(asked) == 1
    assert f"{gain:g} times" in first[1]


@needs_bfloat16
@pytest.mark.parametrize("content", ["", "{", "[1]", '{"KEY": "fast"}', '{"KEY": NaN}', '{"KEY": -1.0}'])
def test_a_damaged_memory_is_measured_anew(network, tmp_path, content):
    (tmp_path / "precision.json").write_text(content.replace("KEY", precision.machine_key(network)))
    assert faster_in_bfloat16(network, 320, 16, tmp_path, lambda *_: 2.0)[0]
    assert list(json.loads((tmp_path / "precision.json").read_text()).values()) == [2.0]


@needs_bfloat16
def test_a_folder_that_cannot_be_made_is_no_obstacle(network, tmp_path):
    (tmp_path / "file").touch()
    assert not faster_in_bfloat16(network, 320, 16, tmp_path / "file" / "caches", lambda *_: 1.0)[0]


def test_small_steps_are_not_measured(tiny_model, tmp_path):
    assert faster_in_bfloat16(tiny_model, 64, 2, tmp_path, lambda *_: pytest.fail("measured")) is None


def test_another_network_has_another_key(network, tiny_model):
    assert precision.machine_key(network) != precision.machine_key(tiny_model)


@pytest.mark.parametrize(
    ("imgsz", "batch", "work", "expected"),
    [
        (320, 16, STEP / 2, (320, 2)),
        (320, 16, STEP / 100, (320, 16)),
        (640, 16, 4 * STEP, (320, 1)),
        (640, 16, 1e6 * STEP, (64, 1)),
    ],
)
def test_the_size_of_a_trial_by_hand(network, imgsz, batch, work, expected):
    assert trial_size(network, imgsz, batch, work) == expected


def test_a_measurement_leaves_the_model_and_the_random_numbers_as_they_are(tiny_model):
    before = {key: value.clone() for key, value in tiny_model.state_dict().items()}
    state = torch.get_rng_state()
    assert 0 < bfloat16_gain(tiny_model, 64, 2) < 100
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in tiny_model.state_dict().items())
    assert all(parameter.grad is None for parameter in tiny_model.parameters())


@needs_bfloat16
@pytest.mark.parametrize(
    ("asked", "gain", "settled"), [("auto", 2.0, "on"), ("auto", 0.5, "off"), ("off", 2.0, "off"), ("on", 0.5, "on")]
)
def test_the_plan_of_a_run_has_what_was_measured(network, tmp_path, monkeypatch, drawn_data, asked, gain, settled):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "yolov5-slim").mkdir()
    known = json.dumps({precision.machine_key(network): gain})
    (tmp_path / "yolov5-slim" / "precision.json").write_text(known)
    options = TrainOptions(data=str(drawn_data), imgsz=320, amp=asked, device="cpu", project=str(tmp_path))
    plan = settle_precision(make_plan(options, quiet=True), network)
    assert plan.options.amp == settled
    assert plan.amp is (torch.bfloat16 if settled == "on" else None)
