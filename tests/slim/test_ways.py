"""Other ways through slim.py: other networks, a goal in time, the command line, a sweep."""

import json
import runpy
import shlex
from dataclasses import asdict

import pytest
import torch
import yaml

from tests.slim.runs import settings, start
from utils.cli.options import parse
from utils.export.options import ExportOptions
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.choice.milliseconds import Rates
from utils.slimming.slim import slim
from utils.slimming.state import read_state
from utils.slimming.sweep import sweep


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
    options = settings(place, tmp_path, latency_ms=limit, runtime="onnx", share=0.15, optimizer="SGD")
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
