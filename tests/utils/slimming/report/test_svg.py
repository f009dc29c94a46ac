"""Every mark of the page's charts is where its value is, inside the frame."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from utils.pictures.svg import WIDTH
from utils.slimming.report.points import points_of
from utils.slimming.report.svg import LAYERS, course_figure, latency_figure, norm_figures


def marks(chart, tag):
    """Return [{attribute: value}] of the elements of a chart, all of which must lie inside it."""
    root = ElementTree.fromstring(chart)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    assert width == WIDTH
    for e in root.iter():
        for key, limit in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            assert 0 <= float(e.attrib.get(key, 0)) <= limit
    return [e.attrib for e in root.iter(tag)]


def drawn_course(record):
    """Return the chart of a record's course."""
    points = points_of(record)
    return course_figure(points, points[0]).chart


def test_the_course_goes_through_what_was_kept(finished):
    chart = drawn_course(finished)
    lines = {m["class"]: m["points"].split() for m in marks(chart, "polyline")}
    assert set(lines) == {f"series {key}" for key in ("gflops", "parameters", "bytes", "ms", "map", "loss")}
    assert all(len(line) == 3 for line in lines.values())
    dots = [m for m in marks(chart, "circle") if m["class"].split()[1] == "gflops"]
    assert [m["class"].split()[0] for m in dots] == ["mark", "mark", "hollow", "mark", "hollow"]
    xs, ys = ([float(m[key]) for m in dots] for key in ("cx", "cy"))
    assert xs == pytest.approx([xs[0] + i * (xs[1] - xs[0]) for i in range(5)], abs=0.2)
    assert (ys[3] - ys[0]) / (ys[1] - ys[0]) == pytest.approx((1 - 0.25) / (1 - 0.52 / 1.03), abs=0.01)


def test_a_value_that_is_missing_is_left_out_of_the_course(finished):
    finished.steps[0].finetuned.ms, finished.start.loss = math.nan, None
    chart = drawn_course(finished)
    assert len([m for m in marks(chart, "circle") if m["class"].endswith(" ms")]) == 4
    assert not [m for m in marks(chart, "circle") if m["class"].endswith(" loss")]
    (point, *_) = points = points_of(replace(finished, start=None))
    assert course_figure(points, point) is None


def test_the_legend_has_the_values_of_the_delivered_network(finished):
    points = points_of(finished)
    figure = course_figure(points, points[3])
    assert [entry.words for entry in figure.legend] == [
        "FLOPs 0.25",
        "parameters 0.24",
        "file size 0.26",
        "time an image 0.48",
        "mAP50-95 1.00",
        "loss 0.98",
    ]
    assert [entry.dashed for entry in figure.legend] == [False, True, True, False, False, True]
    finished.steps[2].finetuned.ms = math.nan
    assert "time an image –" in [entry.words for entry in course_figure(points, points[3]).legend]


def test_points_are_joined_along_the_front(finished):
    chart = latency_figure(points_of(finished)).chart
    dots = marks(chart, "circle")
    assert [m["class"] for m in dots] == ["before", "after", "undone", "after delivered", "undone"]
    (line,) = marks(chart, "polyline")
    at = [f"{m['cx']},{m['cy']}" for m in dots]
    assert line["points"].split() == [at[4], at[2], at[3], at[1]]  # the start is slower and no better than step 1
    xs = [float(m["cx"]) for m in dots]
    assert (xs[0] - xs[1]) / (xs[1] - xs[3]) == pytest.approx((7.1 - 4.9) / (4.9 - 3.4), abs=0.01)


def test_no_latency_chart_without_times_or_accuracy(finished):
    for key, value in (("ms", math.nan), ("map", math.nan), ("map", 0.0), ("ms", 0.0)):
        points = points_of(finished)
        for point in points:
            setattr(point.measure, key, value)
        assert latency_figure(points) is None, (key, value)
        for point, fresh in zip(points, (7.1, 4.9, 2.9, 3.4, 2.6)):
            point.measure.ms, point.measure.map = fresh, 0.5
    assert latency_figure(points_of(finished)) is not None


def test_boxes_are_where_the_quartiles_are(unfinished, attempt, measurements):
    after = measurements(names=["model.0.conv"])
    after.l1 = {"model.0.conv": [0.01, 0.02, 0.04, 0.08, 0.16], "new <layer>": [0.0, 0.01, 0.01, 0.01, 0.16]}
    unfinished.start.l1 = {"model.0.conv": [0.1, 0.1, 0.02, 0.3, 0.3]}
    unfinished.steps = [attempt(1, finetuned=after)]
    start, newest = points_of(unfinished)
    ((chart, caption, _),) = norm_figures(newest, start)
    assert caption == "0 to new <layer>"
    boxes, paths = marks(chart, "rect"), {m["class"]: m["d"] for m in reversed(marks(chart, "path"))}
    left, width = float(boxes[0]["x"]), float(boxes[0]["width"])
    whisker = [float(v) for v in re.findall(r"[\d.]+", paths["whisker"])]  # x, y, x
    octave = width / 2  # a factor of 2 anywhere on a logarithmic axis
    assert whisker[0] == pytest.approx(left - octave, abs=0.2) and whisker[2] == pytest.approx(
        left + 3 * octave, abs=0.2
    )
    assert float(paths["median"][1:].split()[0]) == pytest.approx(left + octave, abs=0.2)
    assert float(paths["reference"][1:].split()[0]) == pytest.approx(left, abs=0.2)
    assert chart.count('class="reference"') == 1 and float(boxes[1]["y"]) > float(boxes[0]["y"])
    assert "model.0.conv: 0.01, 0.02, 0.04, 0.08, 0.16 (start: 0.02)" in chart


def test_many_layers_are_spread_over_charts_with_one_axis(unfinished, measurements):
    unfinished.start = measurements(
        names=[f"model.{i}.a_very_long_name_of_a_layer.conv" for i in range(2 * LAYERS + 1)]
    )
    (start,) = points_of(unfinished)
    charts = [figure.chart for figure in norm_figures(start, start)]
    assert [len(marks(chart, "rect")) for chart in charts] == [LAYERS, LAYERS, 1]
    texts = [[t for t in re.findall(r'class="middle">([^<]+)', chart)] for chart in charts]
    assert texts[0] == texts[1] == texts[2] and "reference" not in charts[0]


def test_a_network_without_norms_has_no_chart(unfinished):
    unfinished.start.l1 = {}
    (start,) = points_of(unfinished)
    assert norm_figures(start, start) == []
