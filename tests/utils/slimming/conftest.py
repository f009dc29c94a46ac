"""States of slim.py runs, written by hand."""

from dataclasses import replace

import pytest

from utils.slimming.state import Measurement, Phase, SlimState, Step

LAYERS = ["model.0.conv", "model.1.conv", "model.2.cv1.conv", "model.2.m.0.cv1.conv", "model.24.m.0"]
START = {
    "file": "start/start.pt",
    "map50": 0.914,
    "map": 0.586,
    "loss": 0.062,
    "parameters": 1_767_976,
    "gflops": 1.03,
    "bytes": 3_720_000,
    "ms": 7.1,
}


def measure(scale=1.0, names=LAYERS, **values):
    """Return the Measurement of a network; scale: of the filters' norms."""
    l1 = {
        name: [round(scale * 0.01 * (i + 1) * q, 6) for q in (0.4, 0.8, 1.0, 1.3, 2.0)] for i, name in enumerate(names)
    }
    return Measurement(**{**START, "file": "step/pruned.pt", "l1": l1, **values})


def step(number, attempt=1, kept=True, why="all rules are kept", share=0.5, left=0.5, **stages):
    """Return one attempt; stages: sparse, pruned, finetuned, None where they are not given."""
    seconds = {"sparse": 420.0, "finetune": 300.0}
    return Step(number, attempt, share, left, kept=kept, why=why, **{"seconds": seconds, **stages})


@pytest.fixture
def measurements():
    """The function that returns measurements of a network."""
    return measure


@pytest.fixture
def attempt():
    """The function that returns one attempt of a step."""
    return step


@pytest.fixture
def unfinished():
    """The state of a run that has measured its start and trains the first step."""
    return SlimState(
        version=1,
        goal="FLOPs 0.25, mAP50-95 at most 0.01 lower",
        begun="2026-05-04T10:00:00",
        seconds=90.4,
        options={"weights": "dense.pt", "data": "bccd.yaml", "imgsz": 320, "hyp": "", "freeze": [0], "sweep": False},
        finished=False,
        reason=None,
        delivered=0,
        output=None,
        phase=Phase(1, 1, "sparse", epoch=7, epochs=30, began=2.0),
        start=measure(),
        steps=[],
        current=step(1, kept=None, why=None, seconds={}),
    )


@pytest.fixture
def finished(unfinished):
    """The state of a run of three steps, the second of which needed two attempts and the third of which was undone."""
    sizes = [
        {"parameters": 900_000, "gflops": 0.52, "bytes": 1_950_000, "ms": 4.9},
        {"parameters": 300_000, "gflops": 0.21, "bytes": 730_000, "ms": 2.9},
        {"parameters": 417_000, "gflops": 0.2575, "bytes": 960_000, "ms": 3.4},
        {"parameters": 250_000, "gflops": 0.13, "bytes": 600_000, "ms": 2.6},
    ]
    steps = [
        step(
            1,
            sparse=measure(map50=0.919, map=0.611, loss=0.058),
            pruned=measure(map50=0.917, map=0.606, **sizes[0]),
            finetuned=measure(0.9, map50=0.920, map=0.602, loss=0.059, **sizes[0]),
        ),
        step(
            2,
            kept=False,
            why="mAP50-95 0.5610 is 0.0250 below the start's, more than 0.01",
            share=0.6,
            left=0.2,
            sparse=measure(map=0.604),
            pruned=measure(map50=0.8, map=0.5, **sizes[1]),
            finetuned=measure(map50=0.89, map=0.561, loss=0.066, **sizes[1]),
        ),
        step(2, 2, left=0.25, finetuned=measure(0.8, map50=0.912, map=0.588, loss=0.061, **sizes[2])),
        step(
            3,
            kept=False,
            why="the cut leaves less than a floor of <8> channels & more",
            left=0.125,
            pruned=measure(map50=0.7, map=0.4, loss=0.09, **sizes[3]),
        ),
    ]
    return replace(
        unfinished,
        finished=True,
        reason="the goal is reached",
        phase=None,
        current=None,
        seconds=2912.4,
        delivered=2,
        steps=steps,
        output="runs/slim/exp/slim.pt",
    )
