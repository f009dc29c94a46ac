"""slim.py as a whole, on drawn images and tiny networks: from a start to a delivered file, interrupted and not."""

import json
import runpy
import shlex
import shutil
from contextlib import contextmanager
from dataclasses import asdict

import pytest
import torch
import yaml

from models.yolo import DetectionModel
from utils.cli.options import parse
from utils.data.config import load_data
from utils.data.shapes import draw_shapes
from utils.errors import InputError
from utils.export.export import ExportOptions
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.choice.milliseconds import Rates
from utils.slimming.options import SlimOptions
from utils.slimming.slim import slim
from utils.slimming.state import read_state
from utils.slimming.sweep import sweep
from utils.slimming.terminal import Console

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


@pytest.fixture(scope="module")
def whole(place):
    """A run of two steps that was never interrupted. No time is measured: that changes how PyTorch uses threads."""
    return slim(settings(place, place / "whole", flops=0.5), latency=lambda models, *args: dict.fromkeys(models, 1.0))


def test_a_run_goes_from_the_start_to_the_goal(whole, place):
    content, folder = json.loads((whole.folder / "slim.json").read_text()), whole.folder
    assert content["finished"] and content["reason"].startswith("the goal is reached")
    assert [(step["number"], step["kept"]) for step in content["steps"]] == [(1, True), (2, True)]
    networks = [content["start"], *(step["finetuned"] for step in content["steps"])]
    shares = [network["gflops"] / content["start"]["gflops"] for network in networks]
    assert shares == pytest.approx([1, 0.7, 0.5], abs=0.03)
    for step in content["steps"]:
        assert step["sparse"]["gflops"] > step["pruned"]["gflops"] == step["finetuned"]["gflops"]
        # The channels were at exactly zero, so the cut changes nothing but rounding.
        assert step["pruned"]["map"] == pytest.approx(step["sparse"]["map"], abs=1e-3)
        assert step["pruned"]["loss"] == pytest.approx(step["sparse"]["loss"], rel=1e-2)
        assert set(step["seconds"]) == {"sparse", "cut", "finetune"} and step["finetuned"]["l1"]
    assert (folder / "slim.pt").read_bytes() == (folder / whole.state.networks[-1].file).read_bytes()
    assert load_checkpoint(folder / "slim.pt").model.names[3] == "star"
    assert yaml.safe_load((folder / "slim.yaml").read_text())["flops"] == 0.5
    assert (folder / "slim.html").is_file() and list((folder / "charts").glob("*.png"))


def test_a_finished_run_is_left_alone(whole, place):
    before = {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}
    options = settings(place, whole.folder.parent, steps=1, sparse_epochs=0, finetune_epochs=1, stop_loss=99.0)
    again = slim(options, reports=False)
    assert again.folder == whole.folder.with_name("exp2")
    assert before == {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}


class Killed(BaseException):
    """Ends a run wherever it is."""


class Countdown:
    """Ends the run when it is called for the last of so many times."""

    def __init__(self, left=None):
        self.left = left

    def __call__(self):
        self.left = self.left and self.left - 1
        if self.left == 0:
            raise Killed


def fragile(options, epochs=None, measurements=None):
    """Return arguments for slim: what is killed in an epoch, or in a measurement, and at which call."""
    epoch, measurement = Countdown(epochs), Countdown(measurements)

    class Fragile(Console):
        @contextmanager
        def bar(self, run):
            with super().bar(run) as move:
                yield lambda *args: (epoch(), move(*args))

    def latency(models, *args, **kwargs):
        measurement()
        return dict.fromkeys(models, 1.0)

    return {"console": Fragile(options), "latency": latency, "reports": False}


def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(whole, place, tmp_path):
    """A step has 5 epochs and 3 measurements. Whatever was done when the run was killed is not done again."""
    options, moments = settings(place, tmp_path, flops=0.5), []
    # What it is killed in, and at which call since the last time: in the middle of a training, then at a measurement.
    # The first one is that of the start: no run is there yet.
    kills = [("measurements", 1), ("epochs", 2), ("measurements", 1), ("measurements", 2), ("epochs", 2), ("epochs", 4)]
    for kind, moment in [*kills, ("measurements", 3)]:
        with pytest.raises(Killed):
            slim(options, **fragile(options, **{kind: moment}))
        file = tmp_path / "exp/slim.json"
        state = read_state(file) if file.is_file() else None
        phase = state and state.phase
        moments.append((len(state.steps), phase.name, phase.epoch) if phase else None)
    assert moments == [
        None,
        (0, "sparse", 2),
        (0, "sparse", 3),
        (0, "cut", 0),
        (0, "finetune", 2),
        (1, "sparse", 3),
        (1, "finetune", 2),
    ]
    with pytest.raises(InputError, match="share: 0.3 there, 0.4 now"):
        slim(settings(place, tmp_path, flops=0.5, share=0.4))
    run = slim(options, **fragile(options))
    assert run.folder == tmp_path / "exp" and run.state.finished
    assert [m.map for m in run.state.networks] == [m.map for m in whole.state.networks]
    assert [m.loss for m in run.state.networks] == pytest.approx([m.loss for m in whole.state.networks], rel=1e-5)
    found, wanted = (load_checkpoint(r.folder / "slim.pt").model.state_dict() for r in (run, whole))
    assert found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_a_run_in_the_old_form_goes_on(whole, place, tmp_path):
    """Its slim.json lacks the settings and keys that came later."""
    options = settings(place, tmp_path, flops=0.5)
    with pytest.raises(Killed):
        slim(options, **fragile(options, epochs=2))
    file = tmp_path / "exp/slim.json"
    content = json.loads(file.read_text())
    del content["start"]["goal_ms"], content["current"]["kept"], content["current"]["why"]
    for key in ("skip_bad_labels", "accept_conf"):
        del content["options"][key]
    file.write_text(json.dumps(content))
    assert slim(options, **fragile(options)).folder == tmp_path / "exp"
    assert read_state(file).networks[-1].loss == pytest.approx(whole.state.networks[-1].loss, rel=1e-5)


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov3"])
def test_yolov3_goes_through(name, place, tmp_path):
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
    run = slim(options, reports=False)
    assert run.state.networks[1].gflops / run.state.start.gflops == pytest.approx(0.7, abs=0.05)
    assert (tmp_path / "out.pt").read_bytes() == (run.folder / "slim.pt").read_bytes()
    assert isinstance(load_checkpoint(tmp_path / "out.pt").model.model[0].act, torch.nn.ReLU)


def test_a_goal_in_time_is_reached_in_steps_of_time(place, tmp_path):
    rates = Rates((1e-6, 1e-6, 1e-7), 1.0, 2, 64, 0.0)

    def modelled(model):
        return rates.cost(trace_channels(model), model).total

    def latency(models, *args, **kwargs):
        return {name: modelled(model) for name, model in models.items()}

    limit = 0.8 * modelled(load_checkpoint(start(place, "start.pt")).model)
    options = settings(place, tmp_path, latency_ms=limit, runtime="onnx", share=0.15)
    state = slim(options, latency=latency, fit=lambda *args: rates, reports=False).state
    assert len(state.steps) == 2 and all(step.kept and step.rates == rates for step in state.steps)
    assert 0.95 * limit < state.networks[-1].goal_ms <= limit
    for step in state.steps:  # what was faded is what was cut
        assert step.pruned.loss == pytest.approx(step.sparse.loss, rel=1e-2)
        assert step.pruned.goal_ms < step.sparse.goal_ms


def test_the_whole_way_from_the_command_line(place, tmp_path, monkeypatch, capsys):
    """A config file with keys of an older tool; no hour is left for a step, so the start is delivered."""
    keys = {
        "input_model_path": start(place, "start.pt"),
        "data": str(place / "shapes/shapes.yaml"),
        "imgsz": 64,
        "batch": 4,
        "workers": 0,
        "device": "cpu",
        "sparse_epochs": 2,
        "finetuning_epochs": 1,
        "pruning_percent_step": 0.2,
        "stop_loss": 99,
        "hours": 0,
        "retries": 1,
        "hyp": "hyp.shapes.yaml",
        "project": str(tmp_path / "my runs"),
    }
    (tmp_path / "slim.yaml").write_text(yaml.safe_dump(keys))
    monkeypatch.setattr("sys.argv", ["slim.py", "--config", str(tmp_path / "slim.yaml"), "--retries", "0"])
    runpy.run_path(str(ROOT / "slim.py"), run_name="__main__")
    folder = tmp_path / "my runs/exp"
    state = read_state(folder / "slim.json")
    assert state.finished and state.delivered == 0 and state.steps == []
    assert (state.options["retries"], state.options["finetune_epochs"], state.options["share"]) == (0, 1, 0.2)
    assert (folder / "slim.pt").read_bytes() == (folder / "start/start.pt").read_bytes()
    *_, command, last = capsys.readouterr().out.strip().splitlines()
    assert state.reason in last and "mAP50-95" in last and "→" in last
    python, script, *words = shlex.split(command.removeprefix("next: "))
    exported = ExportOptions(weights=str(folder / "slim.pt"), include=["onnx"], data=keys["data"], imgsz=[64])
    assert (python, script) == ("python", "export.py") and parse(ExportOptions, words) == exported


def test_a_sweep_compares_and_continues(place, tmp_path):
    options = settings(
        place, tmp_path, sweep=True, shares=[0.2, 0.4], sparse_epochs=0, finetune_epochs=1, no_distill=True
    )
    asked = []

    def latency(models, *args, **kwargs):
        asked.append(len(models))
        return dict(zip(models, (4.0, 2.0, 3.0)))

    rows = sweep(options, latency=latency, reports=False)
    assert [row.share for row in rows] == [0, 0.2, 0.4]
    assert asked[-1] == 3 and [row.ms for row in rows] == [4.0, 2.0, 3.0]  # all take turns in one measurement
    best = max(row.map for row in rows)
    assert rows[1].unbeaten and any(row.unbeaten and row.map == best for row in rows)
    file = tmp_path / "exp/sweep.json"
    content = json.loads(file.read_text())
    assert content["finished"] and content["rows"] == [asdict(row) for row in rows] and content["recommended"]
    # As if it had been interrupted before the end: the finished runs are not repeated.
    file.write_text(json.dumps({**content, "finished": False}))
    again = sweep(options, latency=lambda models, *args: dict.fromkeys(models, 1.0), reports=False)
    assert [row.map for row in again] == [row.map for row in rows]
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


@pytest.mark.parametrize(
    ("words", "refused"), [("--max-drop 0.01", True), ("--min-map 0", True), ("--sweep", True), ("--flops 1", False)]
)
def test_rules_on_map_are_refused_where_no_object_is_validated(words, refused, place, tmp_path, monkeypatch, capsys):
    """With --flops 1 something else is said: that the goal is met already."""
    data = tmp_path / "empty"
    shutil.copytree(place / "shapes", data, ignore=shutil.ignore_patterns("*.npz"))
    for file in (data / "labels/val").glob("*.txt"):
        file.write_text("")
    common = ["--weights", start(place, "start.pt"), "--data", str(data / "shapes.yaml"), "--project", str(tmp_path)]
    more = ["--img", "64", "--workers", "0", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["slim.py", *common, *more, *words.split()])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(ROOT / "slim.py"), run_name="__main__")
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert exit.value.code == 2 and ("holds not one object" in said) is refused and not (tmp_path / "exp").exists()
