"""benchmark.py: what it measures, when it calls a difference noise, and what it writes."""

import json
import time

import cv2
import pytest

from models.cost import count_gflops, count_parameters
from utils.benchmark import benchmark as module
from utils.benchmark.benchmark import benchmark
from utils.benchmark.calls import Form
from utils.benchmark.footprint import energy, peak_memory
from utils.benchmark.latency import (
    OWN_CLOCK,
    WALL_CLOCK,
    WARM_UP,
    affordable_rounds,
    measure_latency,
    milliseconds,
    speedup,
    summarise,
    take_turns,
)
from utils.benchmark.options import RUNTIMES, BenchmarkOptions
from utils.errors import InputError
from utils.export.torchscript import torchscript_bytes
from utils.files.checkpoint import load_checkpoint
from utils.runtimes.metadata import describe_model


@pytest.fixture
def script(weights):
    """Write a TorchScript file of the checkpoint for 64 × 96 beside it and return its path."""
    model = load_checkpoint(weights).model
    path = weights.with_suffix(".torchscript")
    path.write_bytes(torchscript_bytes(model, describe_model(model, (64, 96))))
    return path


def options(tmp_path, *weights, **others):
    return BenchmarkOptions(
        **{"weights": [str(w) for w in weights], "imgsz": ["64,96"], "rounds": 4, "project": str(tmp_path / "runs")}
        | others
    )


def test_every_file_gets_a_row_with_what_it_costs(weights, script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "peak_memory", lambda *_: 12.0)  # it starts a process for each file
    monkeypatch.setattr(module, "energy", lambda call: None)
    results = benchmark(options(tmp_path, weights, script))
    model = load_checkpoint(weights).model
    assert [row.runtime for row in results] == ["PyTorch", "TorchScript"]
    for row in results:
        assert row.parameters == count_parameters(model)
        assert row.gflops == pytest.approx(count_gflops(model, (64, 96)), rel=1e-3)
        assert 0 < row.ms.low <= row.ms.median <= row.ms.high
    assert results[0].speedup == 1 and results[1].file_bytes == script.stat().st_size
    written = json.loads((tmp_path / "runs/exp/results.json").read_text())
    assert [row["model"] for row in written] == [str(weights), str(script)] and written[0]["ms"]["median"] > 0
    said = capsys.readouterr().out
    assert "64x96, 1 thread, cpu" in said and "small.torchscript  TorchScript" in said


def test_with_data_the_map_and_a_picture_are_there(weights, detector, label_by, drawn_data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "peak_memory", lambda *_: None)
    monkeypatch.setattr(module, "energy", lambda call: None)
    text = drawn_data.read_text().replace("blue", "circle").replace("green", "square").replace("red", "triangle")
    drawn_data.write_text(text)
    label_by(detector)
    (row,) = benchmark(options(tmp_path, weights, data=str(drawn_data), imgsz=["64"]))
    assert 0.01 < row.map <= row.map50 <= 1
    assert cv2.imread(str(tmp_path / "runs/exp/pareto.png")) is not None


def test_files_of_another_size_are_left_out_and_said(weights, script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "peak_memory", lambda *_: None)
    monkeypatch.setattr(module, "energy", lambda call: None)
    assert [row.runtime for row in benchmark(options(tmp_path, weights, script, imgsz=["64"]))] == ["PyTorch"]
    assert "small.torchscript: is for 1 image of 64x96, left out at 64x64" in capsys.readouterr().out
    with pytest.raises(InputError, match="--imgsz 64: no file takes images of this size"):
        benchmark(options(tmp_path, script, imgsz=["64"], name="none"))
    assert not (tmp_path / "runs/none").exists()


def test_fp16_has_rows_and_an_accuracy_of_its_own(
    weights, detector, label_by, drawn_data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(module, "peak_memory", lambda *_: None)
    monkeypatch.setattr(module, "energy", lambda call: None)
    monkeypatch.setattr(module, "forms", lambda *_: [Form(), Form(half=True)])  # as on a GPU
    text = drawn_data.read_text().replace("blue", "circle").replace("green", "square").replace("red", "triangle")
    drawn_data.write_text(text)
    label_by(detector)
    plain, half = benchmark(options(tmp_path, weights, data=str(drawn_data), imgsz=["64"]))
    assert (plain.runtime, half.runtime) == ("PyTorch", "PyTorch half")
    assert plain.speedup == 1 != half.speedup and half.map == pytest.approx(plain.map, abs=0.01) and half.map > 0.02
    lines = [line for line in capsys.readouterr().out.splitlines() if "PyTorch" in line]
    assert len({line.index(f"{row.ms.median:8.2f}") for line, row in zip(lines, (plain, half))}) == 1  # one column


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"half": True}, "--half: FP16 is for GPUs; add --device 0"),
        ({"imgsz": ["64x96"]}, "--imgsz 64x96: must be a number"),
        ({"imgsz": ["1,2,3"]}, "--imgsz 1,2,3"),
        ({"imgsz": ["0"]}, "--imgsz 0"),
        ({"weights": ["nowhere.onnx"]}, "nowhere.onnx"),
        ({"data": "no.yaml"}, "no.yaml"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(weights, tmp_path, others, expected):
    with pytest.raises(InputError, match=expected):
        benchmark(options(tmp_path, weights, **others))
    assert not (tmp_path / "runs").exists()


def test_files_take_turns_and_the_first_rounds_do_not_count():
    order, ticks = [], iter(range(1000))
    times = take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, clock=lambda: next(ticks))
    assert order == ["a", "b"] * (WARM_UP + 3)
    assert times == {"a": [1, 1, 1], "b": [1, 1, 1]}


def test_networks_are_measured_and_stay_as_they_are(detector):
    names = list(detector.state_dict())
    times = measure_latency({"one": detector, "two": detector}, 64, rounds=2)
    assert set(times) == {"one", "two"} and min(times.values()) > 0
    assert list(detector.state_dict()) == names  # batch norms are folded in copies


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_time_is_what_the_clock_says(detector, runtime):
    if runtime == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    ticks = iter(0.003 * number for number in range(1000))
    times = measure_latency({"a": detector}, 64, runtime, 3, clock=lambda: next(ticks))
    assert times == pytest.approx({"a": 3.0})


def test_a_single_network_is_measured_in_the_same_way(detector):
    asked = []

    def latency(models, *args):
        asked.append((*models.values(), *args))
        return dict.fromkeys(models, 2.5)

    assert milliseconds(detector, 64, "onnx", 7, latency) == 2.5 and asked == [(detector, 64, "onnx", 7)]


def test_waiting_for_a_busy_machine_is_not_counted():
    times = take_turns({"a": lambda: time.sleep(0.005)}, 2, OWN_CLOCK)
    assert max(times["a"]) < 0.004 < min(take_turns({"a": lambda: time.sleep(0.005)}, 2, WALL_CLOCK)["a"])


def test_large_networks_run_less_often(detector):
    rounds = [affordable_rounds([detector], size) for size in (64, 6400)]
    assert rounds[0] == 50 and rounds[1] < 50
    assert affordable_rounds([detector], 64000) == 5


def test_median_and_quartiles_are_milliseconds():
    timing = summarise([0.001, 0.002, 0.003, 0.004, 0.010])
    assert (timing.low, timing.median, timing.high) == pytest.approx((2, 3, 4))


@pytest.mark.parametrize(
    ("second", "ratio", "noise"),
    [
        ([5.0] * 20, 2.0, False),
        ([10.0] * 20, 1.0, True),
        ([9.0, 11.0] * 10, (10 / 9 + 10 / 11) / 2, True),
        ([11.0] * 17 + [9.0] * 3, 10 / 11, False),
    ],
)
def test_a_difference_is_noise_when_the_rounds_disagree(second, ratio, noise):
    assert speedup([10.0] * 20, second) == (pytest.approx(ratio), noise)


def test_energy_is_the_counter_over_the_calls(tmp_path):
    counter, ticks = tmp_path / "energy_uj", iter(range(100))
    (tmp_path / "max_energy_range_uj").write_text("1000000")
    counter.write_text("900000")
    # The clock ends it after four calls; the counter wrapped at one joule and stands at 0.3.
    assert energy(lambda: counter.write_text("300000"), 5, counter, lambda: next(ticks)) == pytest.approx(0.4 / 4)
    assert energy(lambda: None, 5, tmp_path / "absent") is None


def test_energy_is_unknown_when_the_counter_cannot_be_read_to_the_end(tmp_path):
    counter, ticks = tmp_path / "energy_uj", iter(range(100))
    counter.write_text("900000")
    assert energy(lambda: counter.write_text("300000"), 5, counter, lambda: next(ticks)) is None  # wrapped, no range
    assert energy(lambda: counter.unlink(missing_ok=True), 5, counter, lambda: next(ticks)) is None


def test_peak_memory_of_a_file_is_more_than_its_weights(weights):
    found = peak_memory(weights, (64, 64))
    assert found is None or 1 < found < 2000
