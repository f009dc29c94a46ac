"""The points of a record: who is delivered, what was undone, and the multiples of the start."""

import math

import pytest

from utils.slimming.report.points import courses, delivered_point, measured, newest_point, points_of, ratio


def test_every_attempt_is_a_point(finished):
    points = points_of(finished)
    assert [p.label for p in points] == ["start", "1", "2", "2.2", "3"]
    assert [p.state for p in points] == ["start", "kept", "undone", "kept", "undone"]
    assert [p.delivered for p in points] == [False, False, False, True, False]
    assert delivered_point(points) is newest_point(points) is points[3]


def test_before_the_first_step_the_start_is_delivered(unfinished):
    (start,) = points_of(unfinished)
    assert start.delivered and delivered_point([start]) is newest_point([start]) is start


def test_an_undone_attempt_is_neither_delivered_nor_what_the_next_step_begins_with(unfinished, attempt, measurements):
    unfinished.steps = [attempt(1, kept=False, finetuned=measurements())]
    start, undone = points_of(unfinished)
    assert delivered_point([start, undone]) is newest_point([start, undone]) is start


def test_an_attempt_is_measured_by_its_last_stage_or_the_one_it_names(unfinished, attempt, measurements):
    cut, tuned = measurements(map=0.3), measurements(map=0.4)
    unfinished.steps = [
        attempt(1, pruned=cut),
        attempt(2, pruned=cut, finetuned=tuned),
        attempt(3, sparse=tuned),
        attempt(4, pruned=cut, finetuned=tuned, result="pruned"),
        attempt(5, pruned=cut, result="finetuned"),
    ]
    assert [p.value("map") for p in points_of(unfinished)] == [0.586, 0.3, 0.4, None, 0.3, 0.3]


def test_ratios(finished):
    start, first, *_ = points_of(finished)
    assert ratio(first, start, "gflops") == pytest.approx(0.52 / 1.03)
    start.measure.gflops = 0.0
    assert ratio(first, start, "gflops") is None
    first.measure.ms = math.inf
    assert ratio(first, start, "ms") is None


def test_courses_begin_at_one_and_leave_out_what_is_not_measured(finished):
    points = points_of(finished)
    points[0].measure.ms = math.nan
    points[1].measure.loss = math.nan
    found = {series.key: values for series, values in courses(points)}
    assert set(found) == {"gflops", "parameters", "bytes", "map", "loss"}
    assert {values[0] for values in found.values()} == {1.0}
    assert found["loss"][1] is None and found["loss"][3] == pytest.approx(0.061 / 0.062)
    assert found["gflops"][3] == pytest.approx(0.25)


def test_measured(finished):
    points = points_of(finished)
    points[2].measure.ms, points[3].measure.map = math.nan, math.inf
    assert [p.label for p in measured(points, "ms", "map")] == ["start", "1", "3"]
