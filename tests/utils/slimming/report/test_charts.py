"""The pictures hold the record's numbers, whatever is missing."""

import math

import cv2
import numpy as np
import pytest

from utils.pictures.figures import picture_bytes
from utils.slimming.report.charts import LONG, draw_course, draw_latency, draw_norms, plain
from utils.slimming.report.points import Point, points_of


def lines(figure):
    """Return [(label or None, xs, ys, hollow?)] of the lines in a figure's only axes."""
    (axes,) = figure.axes
    return [
        (line.get_label(), line.get_xdata(), line.get_ydata(), line.get_markerfacecolor() in ("none", "white"))
        for line in axes.lines
    ]


def words(figure):
    """Return the texts within a figure's only axes."""
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_course_by_step(finished):
    figure = draw_course(points_of(finished))
    found = lines(figure)
    (flops,) = [row for row in found if row[0] == "FLOPs"]
    np.testing.assert_allclose(flops[1], [0, 1, 3])
    np.testing.assert_allclose(flops[2], [1, 0.52 / 1.03, 0.25])
    assert len(found) == 12 and [row[3] for row in found] == [False, True] * 6
    np.testing.assert_allclose(found[1][1], [2, 4])
    np.testing.assert_allclose(found[1][2], [0.21 / 1.03, 0.13 / 1.03])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["start", "1", "2", "2.2", "3"]


def test_the_course_leaves_out_what_is_missing(finished):
    finished.start.map = finished.steps[0].finetuned.ms = math.nan
    found = {row[0]: row for row in lines(draw_course(points_of(finished)))}
    assert "mAP50-95" not in found and list(found["time an image"][1]) == [0, 3]


def test_of_many_steps_some_are_named(unfinished, attempt, measurements):
    unfinished.steps = [attempt(i, finetuned=measurements()) for i in range(1, 41)]
    names = [t.get_text() for t in draw_course(points_of(unfinished)).axes[0].get_xticklabels()]
    assert names[:2] == ["start", "3"] and len(names) <= 16


def test_accuracy_over_time(finished):
    figure = draw_latency(points_of(finished))
    front, *rest = lines(figure)
    np.testing.assert_allclose(front[1:3], [[2.6, 2.9, 3.4, 4.9], [0.4, 0.561, 0.588, 0.602]])
    found = {label: (list(xs), list(ys), hollow) for label, xs, ys, hollow in rest}
    assert found["start"] == ([7.1], [0.586], False) and found["kept"] == ([4.9, 3.4], [0.602, 0.588], False)
    assert found["undone"] == ([2.9, 2.6], [0.561, 0.4], True) and found["delivered"] == ([3.4], [0.588], True)
    assert words(figure) == ["start", "1", "2", "2.2", "3"]


def test_only_undone_attempts(unfinished, attempt, measurements):
    unfinished.steps = [attempt(1, i, kept=False, finetuned=measurements(ms=3.0 + i, map=0.5)) for i in (1, 2)]
    found = {row[0]: list(row[1]) for row in lines(draw_latency(points_of(unfinished)))}
    assert "kept" not in found and found["undone"] == [4.0, 5.0] and found["delivered"] == found["start"] == [7.1]
    assert len(lines(draw_course(points_of(unfinished)))) == 12


def test_nothing_measured_is_said(unfinished):
    point = Point("1", "undone", None, False)
    for figure in (draw_course([point]), draw_latency([point]), draw_norms(point, point)):
        assert len(words(figure)) == 1 and "measured" in words(figure)[0]


def test_boxes_of_the_norms(unfinished, attempt, measurements):
    after = measurements()
    after.l1 = {"model.0.conv": [0.01, 0.02, 0.04, 0.08, 0.16], "new": [0.0, 0.1, 0.2, 0.3, 0.4]}
    unfinished.start.l1["model.0.conv"] = [0.01, 0.01, 0.03, 0.05, 0.05]
    unfinished.steps = [attempt(1, finetuned=after)]
    start, newest = points_of(unfinished)
    figure = draw_norms(newest, start)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "new"] and axes.get_yscale() == "log"
    heights = sorted({y for y in axes.patches[0].get_path().vertices[:, 1] if y})
    assert (heights[0], heights[-1]) == pytest.approx((0.02, 0.08))
    (mark,) = [row for row in lines(figure) if row[0] == "the start's median"]
    assert (list(mark[1]), list(mark[2])) == ([0], [0.03])
    assert axes.get_title() == "Filters by layer: after step 1"
    assert not [row for row in lines(draw_norms(start, start)) if row[0] == "the start's median"]


def test_names_are_no_formulas_and_not_too_long(unfinished, measurements):
    name = "model.$x_{$\\frac<b>&" + "long" * LONG
    assert plain("model.2.cv1.conv") == "2.cv1" and plain("a$") == r"a\$" and len(plain(name)) == LONG
    unfinished.start = measurements(names=["$x_{$", name, "a$b$\\q"])
    (start,) = points_of(unfinished)
    picture = cv2.imdecode(np.frombuffer(picture_bytes(draw_norms(start, start)), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[0] > 400 and picture.min() < 100


def test_a_hundred_layers_each_have_their_box(unfinished, measurements):
    unfinished.start = measurements(names=[f"model.{i}.conv" for i in range(100)])
    (start,) = points_of(unfinished)
    (axes,) = draw_norms(start, start).axes
    assert len(axes.patches) == 100 and [t.get_text() for t in axes.get_xticklabels()] == [str(i) for i in range(100)]
