"""slim.py as a whole, on drawn images and tiny networks: from a start to a delivered file, interrupted and not."""

import json
import runpy

import pytest
import torch
import yaml

from models.yolo import DetectionModel
from utils.data.config import load_data
from utils.data.shapes import draw_shapes
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.choice.milliseconds import Rates
from utils.slimming import gauge, planning
from utils.slimming.gauge import Gauge
from utils.slimming.options import SlimOptions
from utils.slimming.slim import slim
from utils.slimming.steps import Work
from utils.slimming.sweep import sweep
from utils.slimming.watch import Watch

TINY = {
    "nc": 5,
    "depth_multiple": 0.33,
    "width_multiple": 0.125,
    "anchors": [[8, 8, 16, 16], [24, 24, 40, 40]],
    "backbone": [
        [-1, 1, "Conv", [128, 6, 2, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "C3", [128]],
        [-1, 1, "Conv", [256, 3, 2]],
        [-1, 1, "Conv", [256, 3, 2]],
    ],
    "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with 8 training and 4 validation images."""
    folder = tmp_path_factory.mktemp("slim")
    draw_shapes(folder / "shapes", train=8, val=4, imgsz=64, seed=0)
    return folder


def start(place, name, config=TINY):
    """Write a network that was not trained, but whose gammas differ; return its path."""
    torch.manual_seed(0)
    model = DetectionModel(config)
    model.names = load_data(place / "shapes/shapes.yaml").names
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bn.weight"):
                parameter.uniform_(0.5, 1.5)
    save_checkpoint(place / name, finished_content(model))
    return str(place / name)


def settings(place, folder, weights=None, **more):
    """Return SlimOptions of a run of a few seconds."""
    values = {
        "weights": [weights or start(place, "start.pt")],
        "data": str(place / "shapes/shapes.yaml"),
        "imgsz": 64,
        "batch_size": 4,
        "workers": 0,
        "device": "cpu",
        "sparse_epochs": 3,
        "finetune_epochs": 2,
        "round": 2,
        "min_channels": 2,
        "hyp": "hyp.shapes.yaml",
        "project": str(folder),
        "share": 0.3,
    }
    return SlimOptions(**{**values, **more})


@pytest.fixture
def unreported(monkeypatch):
    """Draw no pictures, which take as long as such a training."""
    monkeypatch.setattr(Work, "report", lambda *args: None)


@pytest.fixture(scope="module")
def whole(place):
    """The Record of a run of two steps that was never interrupted."""
    return slim(settings(place, place / "whole", flops=0.5))


def test_a_run_goes_from_the_start_to_the_goal(whole, place):
    content, folder = json.loads((whole.folder / "slim.json").read_text()), whole.folder
    assert content["finished"] and content["reason"].startswith("the goal is reached")
    assert [(step["number"], step["kept"]) for step in content["steps"]] == [(1, True), (2, True)]
    shares = [m["gflops"] / content["start"]["gflops"] for m in whole.points]
    assert shares == pytest.approx([1, 0.7, 0.5], abs=0.03)
    for step in content["steps"]:
        assert step["sparse"]["gflops"] > step["pruned"]["gflops"] == step["finetuned"]["gflops"]
        # The channels were at exactly zero, so the cut changes nothing but rounding.
        assert step["pruned"]["map"] == pytest.approx(step["sparse"]["map"], abs=1e-3)
        assert step["pruned"]["loss"] == pytest.approx(step["sparse"]["loss"], rel=1e-2)
        assert set(step["seconds"]) == {"sparse", "cut", "finetune"} and step["finetuned"]["l1"]
    assert (folder / "slim.pt").read_bytes() == (folder / whole.points[-1]["file"]).read_bytes()
    assert load_checkpoint(folder / "slim.pt").model.names[3] == "star"
    assert yaml.safe_load((folder / "slim.yaml").read_text())["flops"] == 0.5
    assert (folder / "slim.html").is_file() and list((folder / "charts").glob("*.png"))


def test_a_finished_run_is_left_alone(whole, place, unreported):
    before = {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}
    again = slim(settings(place, whole.folder.parent, steps=1, sparse_epochs=0, finetune_epochs=1, max_drop=0.5))
    assert again.folder == whole.folder.with_name("exp2")
    assert before == {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}


class Killed(BaseException):
    """Ends a run wherever it is."""


def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(whole, place, tmp_path, monkeypatch, unreported):
    """A step has 5 epochs and 3 measurements. Whatever was done when the run was killed is not done again."""
    options, moments = settings(place, tmp_path, flops=0.5), []
    # What it is killed in, and at which call since the last time: in the middle of a training, then at a measurement.
    # The first one is that of the start: no run is there yet.
    for kind, moment in ((Gauge, 1), (Watch, 2), (Gauge, 1), (Gauge, 2), (Watch, 2), (Watch, 4), (Gauge, 3)):
        method = {Watch: "after_validation", Gauge: "__call__"}[kind]
        with monkeypatch.context() as patch:
            patch.setattr(kind, method, killing(getattr(kind, method), moment))
            with pytest.raises(Killed):
                slim(options)
        file = tmp_path / "exp/slim.json"
        content = json.loads(file.read_text()) if file.is_file() else {"phase": None, "steps": []}
        phase = content["phase"] or {}
        moments.append((len(content["steps"]), phase.get("name"), phase.get("epoch")))
    assert moments == [
        (0, None, None),
        (0, "sparse", 1),
        (0, "sparse", 3),
        (0, "cut", 0),
        (0, "finetune", 1),
        (1, "sparse", 2),
        (1, "finetune", 2),
    ]
    with pytest.raises(InputError, match="share: 0.3 there, 0.4 now"):
        slim(settings(place, tmp_path, flops=0.5, share=0.4))
    record = slim(options)
    assert record.folder == tmp_path / "exp" and record.content["finished"]
    assert [m["map"] for m in record.points] == [m["map"] for m in whole.points]
    found, wanted = (load_checkpoint(r.folder / "slim.pt").model.state_dict() for r in (record, whole))
    assert found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def killing(usual, moment):
    """Return a method that ends the run when it is called for the moment-th time, and otherwise is as usual."""
    left = [moment]

    def method(*args):
        left[0] -= 1
        if not left[0]:
            raise Killed
        return usual(*args)

    return method


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov3"])
def test_yolov3_goes_through(name, place, tmp_path, unreported):
    config = yaml.safe_load((ROOT / f"models/hub/{name}.yaml").read_text())
    rows = {"nc": 5, "width_multiple": 1 / 32, "depth_multiple": 0.125}
    weights = start(place, f"{name}.pt", {**config, **rows})
    options = settings(
        place,
        tmp_path,
        weights,
        steps=1,
        sparse_epochs=2,
        finetune_epochs=1,
        out=str(tmp_path / "out.pt"),
        activation="nn.ReLU()",
    )
    record = slim(options)
    assert record.points[1]["gflops"] / record.points[0]["gflops"] == pytest.approx(0.7, abs=0.05)
    assert (tmp_path / "out.pt").read_bytes() == (record.folder / "slim.pt").read_bytes()
    assert isinstance(load_checkpoint(tmp_path / "out.pt").model.model[0].act, torch.nn.ReLU)


def test_a_goal_in_time_is_reached_in_steps_of_time(place, tmp_path, monkeypatch, capsys, unreported):
    rates = Rates((1e-6, 1e-6, 1e-7), 1.0, 2, 64, 0.0)

    def modelled(model, image_size, runtime):
        return rates.cost(trace_channels(model), model).total

    for module in (planning, gauge):
        monkeypatch.setattr(module, "milliseconds", modelled)
    monkeypatch.setattr(planning, "fit_rates", lambda *args: rates)
    limit = 0.8 * modelled(load_checkpoint(start(place, "start.pt")).model, 64, "onnx")
    record = slim(settings(place, tmp_path, latency_ms=limit, runtime="onnx", share=0.15))
    steps = record.content["steps"]
    assert len(steps) == 2 and all(step["kept"] and step["rates"]["block"] == 2 for step in steps)
    assert 0.95 * limit < record.points[-1]["goal_ms"] <= limit
    for step in steps:  # what was faded is what was cut
        assert step["pruned"]["map"] == step["sparse"]["map"] and step["pruned"]["goal_ms"] < step["sparse"]["goal_ms"]
    assert "15.0% of the milliseconds go, 85.0% of the start's stay" in capsys.readouterr().out


def test_a_config_file_with_a_guard_and_a_floor(place, tmp_path, monkeypatch, capsys, unreported):
    """The whole way from the command line: nothing may fall below the floor, so the start is delivered."""
    keys = {
        "input_model_path": start(place, "start.pt"),
        "data": str(place / "shapes/shapes.yaml"),
        "imgsz": 64,
        "batch": 4,
        "workers": 0,
        "device": "cpu",
        "sparse_epochs": 2,
        "finetuning_epochs": 1,
        "round": 2,
        "min_channels": 2,
        "pruning_percent_step": 0.2,
        "pruning_standart_deviation_part": 0.3,
        "stop_loss": 1e-6,
        "retries": 1,
        "hyp": "hyp.shapes.yaml",
        "project": str(tmp_path),
    }
    (tmp_path / "slim.yaml").write_text(yaml.safe_dump(keys))
    # The start breaks such a rule as well; that is said at once.
    monkeypatch.setattr("utils.slimming.slim.refuse_start", lambda options, start: None)
    monkeypatch.setattr("sys.argv", ["slim.py", "--config", str(tmp_path / "slim.yaml"), "--retries", "0"])
    runpy.run_path(str(ROOT / "slim.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "finetuning_epochs is taken as finetune_epochs" in said and "undone: validation loss" in said
    content = json.loads((tmp_path / "exp/slim.json").read_text())
    assert (
        content["delivered"] == 0 and len(content["steps"]) == 1 and content["reason"].startswith("step 1 broke a rule")
    )
    assert 0 < content["steps"][0]["share"] <= 0.2
    assert (tmp_path / "exp/slim.pt").read_bytes() == (tmp_path / "exp/start/start.pt").read_bytes()


def test_a_sweep_compares_and_continues(place, tmp_path, capsys, unreported):
    options = settings(
        place, tmp_path, sweep=True, shares=[0.2, 0.4], sparse_epochs=0, finetune_epochs=1, no_distill=True
    )
    rows = sweep(options)
    assert [row["share"] for row in rows] == [0, 0.2, 0.4] and any(row["unbeaten"] for row in rows)
    assert "recommended: " in capsys.readouterr().out
    file = tmp_path / "exp/sweep.json"
    content = json.loads(file.read_text())
    assert content["finished"] and content["rows"] == rows
    # As if it had been interrupted before the end: the finished runs are not repeated.
    file.write_text(json.dumps({**content, "finished": False}))
    assert [row["map"] for row in sweep(options)] == [row["map"] for row in rows]
    assert sorted(path.name for path in (tmp_path / "exp").iterdir()) == [
        "start-20percent",
        "start-40percent",
        "sweep.json",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--flops 1", "--flops 1: the start has 100.0% of the FLOPs: the goal is met already"),
        ("--size-mb 50", "the goal is met already"),
        ("--min-map 0.9", "breaks a rule as it is: mAP50-95"),
        ("--steps 1 --weights none.pt", "none.pt"),
        ("--steps 1 --hyp none.yaml", "none.yaml: no such hyp file"),
        ("--steps 1 --out none/out.pt", "the folder none does not exist"),
        ("--config bad.yaml", "unknown key 'sharre'; did you mean 'share'?"),
        ("--flops 0.5 --params 0.5", "exclude each other"),
        ("--steps 1 --activation Swish", "--activation: unknown 'Swish'"),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(words, message, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("sharre: 0.5\n")
    common = [
        "--weights",
        start(place, "start.pt"),
        "--data",
        str(place / "shapes/shapes.yaml"),
        "--img",
        "64",
        "--workers",
        "0",
    ]
    monkeypatch.setattr("sys.argv", ["slim.py", *common, *words.split()])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(ROOT / "slim.py"), run_name="__main__")
    said = capsys.readouterr()
    assert exit.value.code == 2 and message in said.err and said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]
