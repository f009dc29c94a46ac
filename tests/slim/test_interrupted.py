"""slim.py from a start to a delivered file, interrupted and not."""

import json
from contextlib import contextmanager

import pytest
import torch
import yaml

from tests.slim.runs import settings
from utils.errors import InputError
from utils.files.checkpoint import load_checkpoint
from utils.slimming.slim import slim
from utils.slimming.state import read_state
from utils.slimming.terminal import Console


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
    assert content["worst"][0].startswith(
        "worst photos: the cut network has all that the dense network has, on 4 photos"
    )
    assert "Worst photos" in (folder / "slim.html").read_text() and list((folder / "charts").glob("*.png"))


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
    for key in ("skip_bad_labels", "accept_conf", "check_photos"):
        del content["options"][key]
    file.write_text(json.dumps(content))
    assert slim(options, **fragile(options)).folder == tmp_path / "exp"
    assert read_state(file).networks[-1].loss == pytest.approx(whole.state.networks[-1].loss, rel=1e-5)
