"""The example for YOLOv8, YOLO11 and YOLO26: what it writes, that package loads and trains by itself.

Needs ultralytics, which is not required.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from utils.pruning.channels.rebuild import masked

os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": tempfile.mkdtemp()}
ultralytics = pytest.importorskip("ultralytics", exc_type=ImportError)

EXAMPLE = Path(__file__).parent.parent / "examples/ultralytics/prune_ultralytics.py"
NAMES = ["yolov8n", "yolo11n", "yolov8n-seg", "yolo11n-seg", "yolo26n"]
FRESH = """
import socket, sys

def refuse(*_):
    raise OSError("no network in tests")

socket.socket.connect = refuse
from ultralytics import YOLO

file, data, task = sys.argv[1:]
model = YOLO(file)
assert model.task == task
widths = [tuple(p.shape) for p in model.model.parameters()]
settings = {"data": data, "imgsz": 64, "plots": False, "workers": 0}
model.val(**settings)
assert len(model.predict(file.replace("pruned.pt", "images/train/0.png"), imgsz=64)) == 1
assert model.export(format="torchscript", imgsz=64).endswith("pruned.torchscript")
model = YOLO(file)
model.train(epochs=1, batch=4, val=False, project=file + "_runs", **settings)
assert [tuple(p.shape) for p in model.model.parameters()] == widths, "training lost the cut"
assert not {"utils", "models", "yolov5_slim"}.intersection(sys.modules)
"""


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network_of(name, classes=2):
    """Return a network with random weights and batch norms that are not all alike."""
    torch.manual_seed(0)
    whole = ultralytics.YOLO(f"{name}.yaml").model
    network = type(whole)(f"{name}.yaml", nc=classes, verbose=False).float().eval()
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor, low, high in ((norm.weight, 0.5, 1.5), (norm.running_var, 0.5, 1.5), (norm.bias, -0.2, 0.2)):
            nn.init.uniform_(tensor, low, high)
    return network


def unrolled(example, network):
    return example.build(network, example.Unrolled(network).layers)


def predictions(network):
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        given = network.eval()(image)[0]
    return given[0] if isinstance(given, tuple) else given


def difference(layers, others):
    """Return the largest difference of what two networks give behind their branches, as a share of the largest."""
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pairs = [*zip(layers(image), others(image), strict=True)]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def chosen(example, network, flops=0.4):
    graph = example.traced(network)
    return graph, example.chosen(network, graph, example.score(example.Layers(network), graph), flops)


def draw(folder, count=4, size=64):
    """Draw bright squares on noise, with polygons as labels: they are of use to detectors too."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part / "train").mkdir(parents=True)
    for number in range(count):
        picture = rng.integers(0, 90, (size, size, 3), dtype=np.uint8)
        picture[16:48, 16:48] = 250
        Image.fromarray(picture).save(folder / f"images/train/{number}.png")
        (folder / f"labels/train/{number}.txt").write_text("0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n")
    (folder / "data.yaml").write_text(
        f"path: {folder}\ntrain: images/train\nval: images/train\nnames: [square, disc]\n"
    )
    return str(folder / "data.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_the_network_taken_apart_gives_the_same(example, name):
    network = network_of(name)
    assert torch.equal(predictions(unrolled(example, network)), predictions(network))


@pytest.mark.parametrize("name", NAMES)
def test_the_narrower_network_gives_what_the_masked_one_gives(example, name):
    network = unrolled(example, network_of(name))
    graph, keep = chosen(example, network)
    silent, narrow = masked(example.Layers(network), graph, keep), example.narrowed(network, graph, keep)
    assert difference(example.Layers(narrow), silent) < 1e-5 < 1e-3 < difference(example.Layers(network), silent)


@pytest.mark.parametrize("name", NAMES)
def test_the_package_builds_the_narrower_network_from_its_yaml(example, name):
    network = unrolled(example, network_of(name))
    graph, keep = chosen(example, network)
    cost = example.NetworkCost.traced_flops(graph, example.Layers(network), 1)
    assert 0.39 < 1 - cost.of(keep) / cost.total < 0.42
    narrow = example.narrowed(network, graph, keep)
    again = type(narrow)(deepcopy(narrow.yaml), nc=3, verbose=False)  # as its trainer does, here for other classes
    again.load(narrow, verbose=False)
    pairs = zip(narrow.state_dict().items(), again.state_dict().values(), strict=True)
    others = {key for (key, one), other in pairs if one.shape != other.shape}
    assert others and all("cv3" in key for key in others)  # the last layers of the branches for the classes
    assert all(width % 16 == 0 for _, _, kind, (width, *_) in narrow.yaml["head"] if kind == "Conv")


def test_deeper_cuts_of_larger_networks_are_built_too(example):
    network = unrolled(example, network_of("yolov8s-seg"))
    graph, keep = chosen(example, network, 0.6)
    narrow = example.narrowed(network, graph, keep)
    assert sum(p.numel() for p in narrow.parameters()) < 0.6 * sum(p.numel() for p in network.parameters())


@pytest.mark.slow
def test_channels_that_faded_are_cut_at_no_cost(example, tmp_path):
    network = unrolled(example, network_of("yolov8n"))
    example.save(network, tmp_path / "whole.pt")
    settings = {"data": draw(tmp_path), "imgsz": 64, "epochs": 5, "batch": 4, "nbs": 4, "plots": False, "val": False}
    network, graph, keep = example.faded(tmp_path / "whole.pt", 0.4, settings)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert sum(int((norm.weight == 0).sum()) for norm in norms) > 500
    narrow = example.narrowed(network, graph, keep)
    assert difference(example.Layers(narrow), example.Layers(network.eval())) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov8n", "yolo11n-seg"])
def test_the_file_is_used_and_trained_where_nothing_of_this_project_is(example, name, tmp_path, capsys):
    example.save(network_of(name), tmp_path / "whole.pt")
    pruned = tmp_path / "pruned.pt"
    assert example.main(["--weights", str(tmp_path / "whole.pt"), "--out", str(pruned)]) == 0
    assert "40." in capsys.readouterr().out
    task = "segment" if name.endswith("seg") else "detect"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [sys.executable, "-c", FRESH, str(pruned), draw(tmp_path), task]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("name", "words", "line"),
    [
        ("yolov8n", ["--flops", "0.999"], "cannot go"),
        ("yolov8n", ["--flops", "1.5"], "must be above 0"),
        ("yolov8n-pose", [], "Pose: not a layer of YOLOv8"),
        (None, [], "whole.pt"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(example, name, words, line, tmp_path, capsys):
    if name:
        example.save(ultralytics.YOLO(f"{name}.yaml").model, tmp_path / "whole.pt")
    assert example.main(["--weights", str(tmp_path / "whole.pt"), *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert line in said[-1] and not (tmp_path / "whole_pruned.pt").exists()
