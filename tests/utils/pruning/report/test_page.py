"""The page stands alone, is well formed, escapes what users wrote, and its charts stay in their frames."""

import re
from xml.etree import ElementTree

import pytest

from utils.pictures.svg import WIDTH, curve, histogram, scatter, ticks
from utils.pruning.report.page import OPEN, page


def network(name, ms=5.0, map50=0.5):
    parts = {"convolutions": 900_000, "structure": 100_000}
    return {
        "name": name,
        "parameters": 1_000_000,
        "gflops": 1.5,
        "ms": ms,
        "map50": map50,
        "map50_95": map50 and map50 / 2,
        "file": {"bytes": 1_000_000, "parts": parts},
    }


@pytest.fixture
def findings():
    layer = {"layer": "model.0.conv", "before": 16, "after": 8, "kept": 0.5, "protected": None}
    return {
        "verdict": "NOT FASTER: 5.0 → 5.0 ms an image, because <so>",
        "faster": False,
        "runtime": "PyTorch",
        "weights": "a<b>.pt",
        "out": "pruned & small.pt",
        "imgsz": 320,
        "command": "python prune.py --protect 'model.<0>'",
        "notes": ["P5 dropped"],
        "measured_on": "72 images",
        "networks": [network("before"), network("after", map50=0.4)],
        "layers": [
            layer,
            {**layer, "layer": "model.24.m.0", "after": 16, "kept": 1.0, "protected": 'the "predictions"'},
        ],
        "gammas": [
            {"layer": f"model.{i}.bn", "high": 1.5, "kept": [0, 3, 1], "removed": [4, 0, 0]} for i in range(OPEN + 3)
        ],
        "sensitivity": {
            "images": 8,
            "before": 0.5,
            "curves": [{"group": "model.0.conv", "width": 16, "shares": [0.25, 0.5], "map50": [0.4, 0.1]}],
        },
        "trade_off": {"images": 8, "points": [{"name": "90%", "gflops": 1, "ms": 4.0, "map50": 0.3}]},
    }


def test_the_first_line_is_the_verdict_and_all_numbers_are_there(findings, read_html):
    parser = read_html(page(findings))
    assert parser.texts[0] == "NOT FASTER: 5.0 → 5.0 ms an image, because <so>"
    text = " ".join(parser.texts)
    for words in (
        "a<b>.pt → pruned & small.pt",
        "1,000,000",
        "GFLOPs at 320 px 1.50 1.50 100%",
        "mAP50 0.500 0.400 -0.100",
        "mAP50-95 0.250 0.200 -0.050",
        "ms an image at 320 px 5.0 5.0 100%",
        "convolutions 900 900",
        "0 16 → 8 50%",
        "24.m.0 · 16 → 16 100%",
        "0: 4 of 8 go",
        "3 more",
        "P5 dropped",
        "--protect 'model.<0>'",
        "90%",
    ):
        assert words in text, words


def test_nothing_is_loaded_or_run(findings, read_html):
    html = page(findings)
    assert not re.search(r"https?:|url\(|@import|<script|<link|<img|\bon\w+=", html)
    assert {name for name, _ in read_html(html).attributes}.isdisjoint({"src", "href", "srcset"})
    assert "width=device-width" in html


def test_what_was_not_measured_is_left_out(findings, read_html):
    findings |= {
        "networks": [network("before", None, None), network("after", None, None)],
        "sensitivity": None,
        "trade_off": None,
    }
    findings |= {"gammas": [], "faster": None, "verdict": "50% of the FLOPs are left; the time was not measured"}
    text = " ".join(read_html(page(findings)).texts)
    assert (
        "ms an image at 320 px – –" in text
        and "Gammas" not in text
        and "Sensitivity" not in text
        and "Speed against accuracy" not in text
    )


def test_a_network_that_finds_nothing_is_drawn_too(findings, read_html):
    findings["networks"] = [network("before", map50=0.0), network("after", map50=0.0)]
    findings["sensitivity"]["before"] = 0.0
    findings["sensitivity"]["curves"][0]["map50"] = [0.0, 0.0]
    findings["trade_off"]["points"][0]["map50"] = 0.0
    assert "Sensitivity" in " ".join(read_html(page(findings)).texts)


def shapes(chart, tag):
    root = ElementTree.fromstring(chart)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    assert width == WIDTH
    found = [{k: v for k, v in e.attrib.items()} for e in root.iter(tag)]
    for e in root.iter():
        for key, limit in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            assert 0 <= float(e.attrib.get(key, 0)) <= limit
    return found


def test_bars_are_as_high_as_their_counts():
    bars = shapes(histogram([0, 2, 1], [4, 0, 1], 0.5, "g"), "rect")
    heights = {(b["class"], i): float(b["height"]) for i, b in enumerate(bars)}
    assert [b["class"] for b in bars] == ["gone", "kept", "kept", "gone"]
    assert (
        heights["gone", 0]
        == pytest.approx(2 * heights["kept", 1], abs=0.1)
        == pytest.approx(4 * heights["gone", 3], abs=0.2)
    )
    assert float(bars[3]["y"]) + heights["gone", 3] == pytest.approx(
        float(bars[2]["y"]), abs=0.1
    )  # on top of what stays


def test_curves_and_points_are_where_their_values_are():
    dots = shapes(curve((0, 0.5, 1), (0.8, 0.4, 0.0), 0.8, "t", "x"), "circle")
    xs, ys = ([float(d[k]) for d in dots] for k in ("cx", "cy"))
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.1) and ys[1] - ys[0] == pytest.approx(
        ys[2] - ys[1], abs=0.1
    )
    dots = shapes(scatter([(2, 0.5, "a & b", "before"), (4, 0.25, "b", "after")], "ms", "mAP50", "t"), "circle")
    assert float(dots[1]["cx"]) > float(dots[0]["cx"]) and float(dots[1]["cy"]) > float(dots[0]["cy"])


@pytest.mark.parametrize(
    ("high", "values"),
    [
        (1, [0, 0.5, 1]),
        (0.919, [0, 0.5]),
        (23.4, [0, 10, 20]),
        (1000, [0, 500, 1000]),
        (0.05, [0, 0.02, 0.04]),
        (4, [0, 1, 2, 3, 4]),
    ],
)
def test_ticks_are_round(high, values):
    assert [value for value, _ in ticks(high)] == pytest.approx(values)


def test_points_are_joined_as_asked_above_the_floor_and_no_name_covers_another():
    points = [(2, 0.58, "one", "a"), (2.01, 0.58, "two", "a"), (2.02, 0.58, "three", "a"), (4, 0.5, "", "a")]
    chart = scatter(points, "ms", "mAP", "t", floor=0.4, joined=[3, 0])
    dots = shapes(chart, "circle")
    (line,) = re.findall(r'class="path" points="([^"]+)"', chart)
    assert line == " ".join(f"{dots[i]['cx']},{dots[i]['cy']}" for i in (3, 0))
    assert float(dots[3]["cy"]) - float(dots[0]["cy"]) == pytest.approx(0.08 / 0.207 * (220 - 10 - 32), abs=0.2)
    heights = re.findall(r'y="([\d.]+)" class="middle">(?:one|two|three)<', chart)
    assert (
        len(heights) == 3 and min(abs(float(a) - float(b)) for a, b in [heights[:2], heights[1:], heights[::2]]) >= 10
    )


def test_ticks_begin_at_a_lower_end():
    assert [text for _, text in ticks(0.61, low=0.54)] == ["0.54", "0.56", "0.58", "0.6"]
    assert [text for _, text in ticks(0.61, low=0.541)] == ["0.56", "0.58", "0.6"]


def test_long_numbers_on_the_axis_have_room():
    chart = scatter([(1, 0.0015, "a", "after")], "ms", "mAP", "t")
    ends = {float(x): text for x, text in re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="end">([^<]+)', chart)}
    assert len(ends) == 1 and next(iter(ends)) >= 5 * len("0.0015")
