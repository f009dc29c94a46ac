"""Every mark of a chart is where its value is, inside the frame, and names are text."""

import re
from xml.etree import ElementTree

import pytest

from utils.pictures.charts import Box, Dot, Line, Step, boxes, course, curve, histogram, scatter
from utils.pictures.svg import WIDTH

SCRIPT = "</title><script>&"


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
    dots = shapes(scatter([Dot(2, 0.5, "a & b", "before"), Dot(4, 0.25, "b", "after")], "ms", "mAP50", "t"), "circle")
    assert float(dots[1]["cx"]) > float(dots[0]["cx"]) and float(dots[1]["cy"]) > float(dots[0]["cy"])


def test_points_are_joined_as_asked_above_the_floor_and_no_name_covers_another():
    points = [
        Dot(2, 0.58, "one", "a"),
        Dot(2.01, 0.58, "two", "a"),
        Dot(2.02, 0.58, "three", "a"),
        Dot(4, 0.5, "", "a"),
    ]
    chart = scatter(points, "ms", "mAP", "t", floor=0.4, joined=[3, 0])
    dots = shapes(chart, "circle")
    (line,) = re.findall(r'class="path" points="([^"]+)"', chart)
    assert line == " ".join(f"{dots[i]['cx']},{dots[i]['cy']}" for i in (3, 0))
    assert float(dots[3]["cy"]) - float(dots[0]["cy"]) == pytest.approx(0.08 / 0.207 * (220 - 10 - 32), abs=0.2)
    heights = re.findall(r'y="([\d.]+)" class="middle">(?:one|two|three)<', chart)
    assert (
        len(heights) == 3 and min(abs(float(a) - float(b)) for a, b in [heights[:2], heights[1:], heights[::2]]) >= 10
    )


def test_long_numbers_on_the_axis_have_room():
    chart = scatter([Dot(1, 0.0015, "a", "after")], "ms", "mAP", "t")
    ends = {float(x): text for x, text in re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="end">([^<]+)', chart)}
    assert len(ends) == 1 and next(iter(ends)) >= 5 * len("0.0015")


def test_names_and_titles_are_text():
    charts = (
        histogram([1], [2], 1.0, SCRIPT),
        curve((0, 1), (0.5, 0.1), 0.5, SCRIPT, SCRIPT),
        scatter([Dot(1, 0.5, SCRIPT, SCRIPT)], SCRIPT, SCRIPT, SCRIPT),
        course([Line(SCRIPT, SCRIPT, [1.0, 0.5])], [Step(SCRIPT, False), Step(SCRIPT, True)], SCRIPT),
        boxes([Box(SCRIPT, SCRIPT, (1, 2, 3, 4, 5), 2)], (1, 5), SCRIPT, SCRIPT),
    )
    for chart in charts:
        root = ElementTree.fromstring(chart)
        assert not list(root.iter("script")) and root.find("title").text == SCRIPT


def test_an_undone_step_is_hollow_and_off_the_line():
    chart = course([Line("a", "6 4", [1.0, 0.5, None])], [Step("0", False), Step("1", True), Step("2", False)], "t")
    assert [d["class"] for d in shapes(chart, "circle")] == ["mark a", "hollow a"]
    (line,) = shapes(chart, "polyline")
    assert len(line["points"].split()) == 1 and line["stroke-dasharray"] == "6 4"


def test_what_lies_outside_of_the_axis_stands_at_its_edge():
    (row,) = shapes(boxes([Box("a", "a", (0, 0, 10, 100, 1000), None)], (1, 100), "t", "x"), "rect")
    left, right = float(row["x"]), float(row["x"]) + float(row["width"])
    assert right == pytest.approx(WIDTH - 14) and left == pytest.approx(18)  # RIGHT; a letter of 6 and 12 beside it
