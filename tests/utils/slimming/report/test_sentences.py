"""The sentences of the report, with numbers worked out by hand."""

from dataclasses import replace

import pytest

from utils.slimming.report.points import delivered_point, points_of
from utils.slimming.report.sentences import (
    accuracy_change,
    comparison,
    duration,
    fraction,
    headline,
    layer_label,
    progress,
    speed,
    story,
    tails,
)


def first_sentence(record):
    points = points_of(record)
    return headline(record, delivered_point(points), points[0])


def test_a_finished_run_says_what_became_of_the_network(finished):
    assert (
        first_sentence(finished) == "A quarter of the FLOPs, 2.1 times as fast, mAP50-95 0.586 → 0.588 (0.002 gained)"
    )


def test_a_run_that_kept_nothing_says_so(finished):
    finished.delivered = 0
    assert first_sentence(finished) == "No step was kept: the network stays as it was"


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, {}, "Step 1: sparse training, epoch 7 of 30"),
        ({"epoch": 0}, {"steps": 4}, "Step 1 of at most 4: sparse training, epoch 0 of 30"),
        (
            {"step": 2, "attempt": 3, "name": "finetune"},
            {"steps": None},
            "Step 2, attempt 3: fine-tuning, epoch 7 of 30",
        ),
        ({"name": "cut", "epochs": None}, {}, "Step 1: cutting"),
    ],
)
def test_progress_names_step_phase_and_epoch(unfinished, changes, options, words):
    unfinished.phase = replace(unfinished.phase, **changes)
    unfinished.options |= options
    assert progress(unfinished) == first_sentence(unfinished) == words


def test_progress_between_phases(unfinished, finished, attempt):
    assert progress(replace(unfinished, phase=None)) == "Running: no step is finished yet"
    assert progress(replace(unfinished, phase=None, steps=[attempt(1)])) == "Running: 1 step finished"
    assert progress(replace(finished, finished=False, reason=None)) == "Running: 4 steps finished, 2 of them undone"


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.5, "half"),
        (0.259, "a quarter"),
        (0.271, "27%"),
        (0.1305, "an eighth"),
        (0.336, "a third"),
        (0.9, "90%"),
        (0.0, "0%"),
    ],
)
def test_fractions(share, words):
    assert fraction(share) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (3.55, "2.0 times as fast"),
        (6.5, "1.09 times as fast"),
        (7.0, "no faster (7.0 instead of 7.1 ms an image)"),
        (7.2, "no faster (7.2 instead of 7.1 ms an image)"),
        (8.0, "slower (8.0 instead of 7.1 ms an image)"),
        (0.0, None),
    ],
)
def test_speed(unfinished, attempt, measurements, ms, words):
    unfinished.steps = [attempt(1, finetuned=measurements(ms=ms))]
    start, after = points_of(unfinished)
    assert speed(after, start) == words


def test_a_comparison_is_part_of_a_sentence(finished):
    start, first, *_ = points_of(finished)
    assert comparison(first, start) == "half of the FLOPs, 1.4 times as fast, mAP50-95 0.586 → 0.602 (0.016 gained)"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.64, 0.315, "0.325 lost, 51% of it"),
        (0.5, 0.5004, "nothing lost"),
        (0.5, 0.4996, "nothing lost"),
        (0.5, 0.512, "0.012 gained"),
        (0.0, 0.0, "the start found nothing"),
    ],
)
def test_what_was_lost_is_said(before, after, words):
    assert accuracy_change(before, after) == f"mAP50-95 {before:.3f} → {after:.3f} ({words})"


def test_the_story_of_an_attempt(finished):
    assert story(finished.steps[1]) == [
        "It set out to remove 60% of the FLOPs, down to 20% of the start's.",
        "mAP50-95: 0.604 after sparse training, 0.500 after the cut, 0.561 after fine-tuning.",
        "Result: 0.210 GFLOPs, 0.73 MB, 2.9 ms an image.",
        "Undone: mAP50-95 0.5610 is 0.0250 below the start's, more than 0.01.",
        "It took 12 min: sparse training 7 min, fine-tuning 5 min.",
    ]


def test_the_story_of_one_that_is_under_way(attempt, measurements):
    step = attempt(1, sparse=measurements(map=0.611), kept=None, why=None, seconds={"sparse": 30.0})
    assert story(step) == [
        "It set out to remove 50% of the FLOPs, down to 50% of the start's.",
        "mAP50-95: 0.611 after sparse training.",
        "It took 30 s.",
    ]
    assert len(story(replace(step, seconds={}))) == 2


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (90, "2 min"), (7100, "118 min"), (9000, "2.5 h")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_the_layers_with_the_weakest_filters_come_first():
    norms = {"a": [0, 0.9, 1, 2, 3], "b": [0, 0.2, 2, 3, 4], "silent": [0, 0, 0, 0, 1], "c": [0, 0.5, 1, 1, 1]}
    assert tails(norms) == [("b", 0.1), ("c", 0.5), ("a", 0.9)]
    assert tails(norms, 1) == [("b", 0.1)]


def test_a_long_name_keeps_its_end():
    assert [layer_label("model.2.cv1.conv", n) for n in (5, 4, 3)] == ["2.cv1", "…cv1", "…v1"]
