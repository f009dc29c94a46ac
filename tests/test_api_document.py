"""The code of docs/API.md and docs/ENGINE.md runs as it stands there."""

import re
from pathlib import Path
from types import SimpleNamespace

import torch

from models.cost import count_gflops

DOCUMENT = Path(__file__).parent.parent / "docs/API.md"
ENGINE = Path(__file__).parent.parent / "docs/ENGINE.md"


def test_the_example_cuts_a_network_of_torchvision(capsys):
    code, _ = re.findall(r"```python\n(.*?)```", ENGINE.read_text(), flags=re.S)
    assert len(code.splitlines()) <= 20
    found = {}
    exec(code, found)  # noqa: S102
    assert type(found["narrow"]) is type(found["model"])
    printed = capsys.readouterr().out
    assert "classifier.3: 1000 channels (protected: its outputs are the predictions)" in printed
    assert "of the parameters are left" in printed


def test_the_wrapper_gives_what_backbone_and_head_make():
    _, code = re.findall(r"```python\n(.*?)```", ENGINE.read_text(), flags=re.S)
    found = {"torch": torch}
    exec(code, found)  # noqa: S102
    backbone, head = torch.nn.Module(), torch.nn.Module()
    backbone.forward = lambda images: {"0": images, "1": images + 1}
    head.forward = lambda features: sum(features)
    maps = found["Maps"](SimpleNamespace(backbone=backbone, head=head))
    assert maps(torch.ones(2)).tolist() == [3, 3]


def test_the_example_cuts_a_network(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.S)
    found = {}
    exec(code.replace("640", "64").replace("models/", f"{DOCUMENT.parent.parent}/models/"), found)  # noqa: S102
    left = count_gflops(found["narrow"], 64) / count_gflops(found["model"], 64)
    assert abs(left - 0.6) < 0.01
    assert f"{left:.1%} of the FLOPs are left" in capsys.readouterr().out
