"""How much a step removes: its share, what the goal lacks, what the limits allow."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.data.config import load_data
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.hyp import load_hyp
from utils.pruning.channels.groups import trace_channels
from utils.pruning.choice.milliseconds import Rates
from utils.pruning.choice.search import file_megabytes
from utils.pruning.pipeline import make_cut, score
from utils.slimming.options import SlimOptions
from utils.slimming.planning import chosen_recipe, planned_share, prospects, pruning_task, step_cut, step_goal
from utils.slimming.state import Measurement, Step
from utils.sparsity.goal import Goal
from utils.training.optim import Schedule


@pytest.fixture
def network(tiny_cfg, tmp_path):
    """Return (checkpoint of a network, its measurements)."""
    model = DetectionModel(tiny_cfg)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bn.weight"):
                parameter.uniform_(0.1, 1.5)
    save_checkpoint(tmp_path / "a.pt", finished_content(model))
    size = int(1e6 * file_megabytes(model))
    costs = {"parameters": count_parameters(model), "gflops": count_gflops(model, 64), "bytes": size}
    return tmp_path / "a.pt", Measurement("a.pt", 0.7, 0.5, 0.1, **costs, ms=10.0, l1={})


def plan(network, share=0.5, start=None, **goal):
    options = SlimOptions(imgsz=64, round=2, min_channels=2, workers=0, device="cpu", **goal)
    found = planned_share(options, network[0], share, start or network[1])
    return found and found[0]


def test_a_step_removes_its_share(network):
    assert plan(network, max_drop=0.01) == 0.5


def test_a_step_ends_at_the_goal(network):
    assert plan(network, flops=0.7) == pytest.approx(0.3, abs=1e-6)
    assert plan(network, flops=0.47) == pytest.approx(0.53, abs=1e-6)  # a little more than a step, rather than one more
    assert plan(network, flops=0.4) == 0.5
    # The network is a step's result: the goal is a share of what the run started with.
    start = replace(network[1], gflops=2 * network[1].gflops)
    assert plan(network, start=start, flops=0.4) == pytest.approx(0.2, abs=1e-6)


def test_goals_other_than_flops_are_aimed_at_by_trial(network):
    # Parameters and bytes fall with the FLOPs; what is planned lies between nothing and a whole step.
    few, more = plan(network, params=0.9), plan(network, params=0.6)
    assert 0 < few < more <= 0.5
    assert 0 < plan(network, size_mb=0.95 * network[1].bytes / 1e6) < 0.5
    assert plan(network, params=0.01) == 0.5  # out of reach: a whole step


def test_a_goal_in_time_is_a_share_of_the_milliseconds(network):
    rates = Rates((0.0, 1e-6, 0.0), 1.0, 4, 64, 0.0)

    def fit(graph, model, image_size, runtime, rng):
        assert (image_size, runtime) == (64, "onnx")
        return rates

    def modelled(model):
        return rates.cost(trace_channels(model), model).total

    def latency(models, image_size, runtime, rounds):
        assert (image_size, runtime) == (64, "onnx")
        return {name: modelled(model) for name, model in models.items()}

    options = SlimOptions(imgsz=64, round=2, min_channels=2, workers=0, device="cpu", latency_ms=1.0, runtime="onnx")
    whole = modelled(load_checkpoint(network[0]).model)
    options.latency_ms = 0.7 * whole
    share, found = planned_share(options, network[0], 0.5, network[1], latency, fit)
    assert 0.1 < share < 0.32 and found == rates  # the widths of so small a network come in coarse steps
    step = Step(1, 1, share, 1 - share, rates=found)
    goal = step_goal(options, step)
    assert (goal.kind, goal.left, goal.image_size, goal.runtime) == ("time", 1 - share, 64, "onnx")
    task = pruning_task(options, network[0], chosen_recipe(options))
    narrow = make_cut(task, step_cut(step, task, score(task))).after
    assert 0.5 * whole < modelled(narrow) <= options.latency_ms
    assert step_goal(options, Step(1, 1, 0.4, 0.6)) == Goal("FLOPs", 0.6)


def test_the_limits_bound_a_step(network):
    assert plan(network, max_drop=0.01, max_layer_share=0.25) < 0.5
    assert plan(network, max_drop=0.01, max_layer_share=0.0) is None
    guarded = plan(network, max_drop=0.01, std_guard=1.0)
    assert 0 < guarded < 0.5
    assert plan(network, max_drop=0.01, std_guard=9.0) is None


def test_a_run_says_what_it_expects_of_a_step(drawn_data):
    evaluator = SimpleNamespace(config=load_data(drawn_data), hyp=load_hyp("hyp.scratch-low.yaml"))
    options = SlimOptions(batch_size=4, sparse_epochs=100, flops=0.6, share=0.5, workers=0)
    steps = Schedule.of(evaluator.hyp, 100, 2, 4, nominal_batch=4).total_steps()
    lines = prospects(options, evaluator)
    assert lines[0].startswith("expect: 8 photos of 3 classes, 12 objects, ") and lines[0].endswith(
        "60% of the FLOPs stay"
    )
    assert f"{steps} optimizer steps, {round(0.3 * steps)} of them for the fade" in lines[0]
    assert "few photos a class (2.67)" in lines[-1]
    assert "fade" not in prospects(replace(options, sparse_epochs=0, batch_size=-1), evaluator)[0]
