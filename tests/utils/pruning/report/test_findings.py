import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from models.common import Conv
from models.yolo import Detect, DetectionModel
from utils.files.checkpoint import checkpoint_bytes, finished_content
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.report.findings import collect, file_parts, gamma_histograms, layer_rows, network_numbers, verdict
from utils.pruning.report.tables import Totals, totals_table
from utils.pruning.report.write import command_line


@pytest.fixture
def cut():
    """Two convolutions of 4 and 8 channels, cut to 2 and 8; gammas 0, ⅓, ⅔, 1 in the first."""
    model = nn.Sequential(Conv(3, 4), Conv(4, 8), nn.Conv2d(8, 2, 1)).eval()
    model[0].bn.weight.data = torch.tensor([0.0, -1 / 3, 2 / 3, 1.0])
    graph = trace_channels(model)
    keep = {"0.conv": np.array([False, False, True, True])}
    return SimpleNamespace(graph=graph, before=model, after=rebuild(model, graph, keep), keep=keep)


def test_rows_of_layers(cut):
    rows = layer_rows(cut.graph, cut.before, cut.after)
    assert [(r["layer"], r["before"], r["after"], r["kept"]) for r in rows] == [
        ("0.conv", 4, 2, 0.5),
        ("1.conv", 8, 8, 1),
        ("2", 2, 2, 1),
    ]
    assert [r["protected"] for r in rows] == [None, None, "its outputs are the predictions"]
    cut.after[1] = nn.Identity()
    assert layer_rows(cut.graph, cut.before, cut.after)[1]["after"] == 0


def test_histograms_tell_what_goes(cut):
    first, second = gamma_histograms(cut.graph, cut.before, cut.keep)
    assert first["layer"] == "0.bn" and first["high"] == 1 and len(first["kept"]) == 24
    assert [i for i, n in enumerate(first["removed"]) if n] == [0, 8] and [
        i for i, n in enumerate(first["kept"]) if n
    ] == [16, 23]
    assert sum(second["kept"]) == 8 and sum(second["removed"]) == 0


def test_the_parts_of_a_file_are_all_of_it(tiny_config):
    content = finished_content(DetectionModel(tiny_config))
    size = len(checkpoint_bytes(content))
    parts = file_parts(content["model"], size)
    assert sum(parts.values()) == size and parts["structure"] > 0
    # FP16: 21 outputs of 3 scales with 32, 64 and 128 inputs and a bias, and 18 anchor numbers.
    assert parts["predictions"] == 2 * (21 * (32 + 64 + 128 + 3) + 18)
    norms = [m for m in content["model"].modules() if isinstance(m, nn.BatchNorm2d)]
    assert parts["batch norms"] == sum(2 * 4 * m.num_features + 8 for m in norms)  # and a 64-bit counter
    assert isinstance(content["model"].model[-1], Detect)


def numbers(gflops, ms, map50_95=None):
    return {"gflops": gflops, "ms": ms, "map50_95": map50_95}


def layers(*widths):
    return [{"before": before, "after": after} for before, after in widths]


@pytest.mark.parametrize(
    ("before", "after", "widths", "faster", "words"),
    [
        (numbers(2, 10), numbers(1, 5), [(16, 8)], True, "2.00× as fast: 10.0 → 5.0 ms an image at 50% of the FLOPs"),
        (numbers(2, 10), numbers(1.9, 10), [(16, 8)], False, "NOT FASTER: 10.0 → 10.0 ms an image, because 95%"),
        (numbers(2, 10), numbers(1, 9.9), [(16, 9), (16, 8)], False, "because 1 of 2 layers have widths"),
        (numbers(2, 10), numbers(1, 12), [(16, 8), (3, 3)], False, "because moving maps and starting layers"),
        (numbers(2, None), numbers(1, None), [(16, 8)], None, "50% of the FLOPs are left; the time was not measured"),
    ],
)
def test_the_verdict_says_whether_it_is_faster_and_why(before, after, widths, faster, words):
    found = verdict(before, after, layers(*widths))
    assert found.faster is faster and words in found.sentence


@pytest.mark.parametrize(
    ("before", "after", "accurate", "words"),
    [
        (0.606, 0.640, True, "mAP50-95 0.606 → 0.640"),
        (0.500, 0.4901, True, "mAP50-95 0.500 → 0.490"),
        (0.640, 0.315, False, "mAP50-95 FELL: 0.640 → 0.315"),
        (0.500, 0.4899, False, "mAP50-95 FELL: 0.500 → 0.490"),
        (0.0, 0.0, None, "the network found nothing before the cut"),
        (None, None, None, "mAP was not measured"),
    ],
)
def test_the_verdict_says_what_became_of_the_accuracy(before, after, accurate, words):
    found = verdict(numbers(2, 10, before), numbers(1, 5, after), [])
    assert found.faster is True and found.accurate is accurate and found.sentence.endswith(words)


def test_findings_are_plain_values(cut):
    row = SimpleNamespace(name="before", parameters=10, gflops=1.0, ms=2.0, map50=0.5, map=0.25, bytes=100)
    networks = [network_numbers(row, {"convolutions": 100})] * 2
    found = collect(cut, networks, weights="a.pt", notes=["x"])
    assert json.loads(json.dumps(found)) == found
    assert found["faster"] is False and found["weights"] == "a.pt" and found["networks"][0]["map50_95"] == 0.25


def test_the_terminal_table_has_times():
    rows = [
        Totals("before", 2000, 4.0, 8_000_000, 0.5, 0.25, 20.0),
        Totals("after", 500, 1.0, 2_000_000, 0.4, 0.2, 5.0),
    ]
    lines = [line.split() for line in totals_table(rows, 320).splitlines()]
    assert lines[0] == ["parameters", "GFLOPs@320", "file", "MB", "ms", "mAP50", "mAP50-95"]
    assert lines[1] == ["before", "2,000", "4.000", "8.00", "20.0", "0.500", "0.250"]
    assert lines[3] == ["left", "25%", "25%", "25%", "25%"]
    unmeasured = totals_table(
        [Totals("before", 2000, 4.0, 8_000_000), Totals("after", 500, 1.0, 2_000_000)], 320
    ).splitlines()
    assert unmeasured[1].split()[-3:] == ["-", "-", "-"] and unmeasured[3].split() == ["left", "25%", "25%", "25%"]


def test_a_command_names_only_what_was_asked_for():
    @dataclass
    class Options:
        weights: str = "a.pt"
        percent: float = 0.5
        protect: list = field(default_factory=list)
        noval: bool = False

    assert command_line("prune.py", Options()) == "python prune.py"
    options = Options("my b.pt", 0.25, ["model.0.*", "x"], True)
    assert (
        command_line("prune.py", options)
        == "python prune.py --weights 'my b.pt' --percent 0.25 --protect 'model.0.*' x --noval"
    )
