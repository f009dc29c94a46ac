"""The page says what the record says, stands alone, escapes all, and reloads itself only while the run goes on."""

import re
from dataclasses import asdict, replace

import pytest

from utils.files.typed_json import typed
from utils.slimming.report.page import page
from utils.slimming.state import SlimState


def texts(read_html, record, output=None):
    return " ".join(read_html(page(record, output)).texts)


def test_a_finished_run(finished, read_html):
    text = texts(read_html, finished, "runs/slim/exp/slim.pt")
    for words in (
        "A quarter of the FLOPs, 2.1 times as fast, mAP50-95 0.586 → 0.588 (0.002 gained)",
        "Goal: FLOPs 0.25, mAP50-95 at most 0.01 lower Finished",
        "Finished after 49 min of work, begun 2026-05-04 10:00: the goal is reached.",
        "start 0.914 0.586 1.768 1.030 3.72 7.1 1 0.920 0.602 0.900 0.520 1.95 4.9 2 undone 0.890",
        "delivered 0.912 0.588 0.417 0.258 0.96 3.4 of start -0.002 +0.002 24% 25% 26% 48%",
        "FLOPs 0.25 parameters 0.24",
        "Filters of the network after step 2.2",
        "Step 2: undone It set out to remove 60% of the FLOPs",
        "Step 3: undone",
        "a floor of <8> channels & more",
        "6 settings in force weights dense.pt",
        "hyp – freeze 0 sweep no",
        "python val.py --weights runs/slim/exp/slim.pt --data bccd.yaml --imgsz 320",
        "python export.py --weights runs/slim/exp/slim.pt --include onnx --data bccd.yaml --imgsz 320",
    ):
        assert words in text, words
    assert "reads itself again" not in text and "refresh" not in page(finished, None)


def test_an_unfinished_run_reloads_itself_and_says_so(unfinished, finished, read_html):
    unfinished.current = None
    html = page(unfinished, None)
    assert '<meta http-equiv="refresh" content="10">' in html
    text = " ".join(read_html(html).texts)
    assert text.startswith("Step 1: sparse training, epoch 7 of 30 Goal:")
    assert "After 2 min of work, begun 2026-05-04 10:00. This page reads itself again every 10 seconds" in text
    assert "No step is finished yet." in text and "Best so far" not in text and "export.py" not in text
    assert "Filters of the start" in text and "Orange" not in text
    later = replace(unfinished, steps=finished.steps[:2], delivered=1)
    text = texts(read_html, later)
    assert "Best so far, step 1: half of the FLOPs, 1.4 times as fast, mAP50-95 0.586 → 0.602 (0.016 gained)." in text
    assert "best 0.920 0.602" in text and "delivered 0.9" not in text and "Orange: the start's median" in text


def test_the_attempt_under_way_is_told_too(unfinished, attempt, measurements, read_html):
    unfinished.current = attempt(1, sparse=measurements(map=0.611), kept=None, why=None)
    assert "Step 1: under way It set out" in texts(read_html, unfinished)


def test_the_time_in_another_runtime_has_a_column_when_it_is_the_goal(finished, read_html):
    finished.options["runtime"] = "torch"
    assert "ms onnx" not in texts(read_html, finished)
    finished.options["runtime"] = "onnx"
    finished.start.goal_ms, finished.steps[2].finetuned.goal_ms = 4.0, 1.0
    text = texts(read_html, finished)
    assert "ms onnx start 0.914 0.586 1.768 1.030 3.72 7.1 4.0 1" in text and "25% 26% 48% 25%" in text


def test_nothing_is_loaded_or_run(finished, unfinished, read_html):
    for record in (finished, unfinished):
        html = page(record, "slim.pt")
        assert not re.search(r"https?:|url\(|@import|<script|<link|<img|\bon\w+=", html)
        assert {name for name, _ in read_html(html).attributes}.isdisjoint({"src", "href", "srcset"})
        assert "width=device-width" in html and "prefers-color-scheme:dark" in html


def hostile(value, markup):
    """Return a copy of a record in which every text, layer name and name of a setting begins with markup."""
    if isinstance(value, dict):
        fixed = {"name", "sparse", "pruned", "finetuned", "begun"}
        return {
            (markup + k if k.startswith("model.") or k == "hyp" else k): (
                v if k in fixed and isinstance(v, str) else hostile(v, markup)
            )
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [hostile(v, markup) for v in value]
    return markup + value if isinstance(value, str) else value


@pytest.mark.parametrize("markup", ["<script>alert(1)</script>", "\"><script src=x onerror='a'>", "'><script>"])
@pytest.mark.parametrize("name", ["finished", "unfinished"])
def test_no_script_of_a_file_gets_into_the_page(name, markup, request, read_html):
    record = request.getfixturevalue(name)
    record.options["runtime"], record.start.goal_ms = "onnx", 1.0
    html = page(typed(SlimState, hostile(asdict(record), markup), "", ""), markup + ".pt")
    assert "<script" not in html.lower() and "&lt;script" in html
    tags = re.compile(r"<[a-z][a-z0-9]*")
    assert sorted(tags.findall(html)) == sorted(tags.findall(page(record, "a.pt")))
    text = " ".join(read_html(html).texts)
    for words in (f"Goal: {markup}{record.goal}", f"{markup}hyp", f"{markup}bccd.yaml", f"ms {markup}onnx"):
        assert words in text, words
    assert f"{markup}model.24.m.0" in text


def test_what_is_missing_is_said(finished, attempt, read_html):
    assert "not measured" not in texts(read_html, finished)
    finished.steps.append(attempt(4, kept=False))
    assert "–: not measured." in texts(read_html, finished)
    for network in (finished.start, *(step.network for step in finished.steps)):
        if network:
            network.map = 0.0
    assert "Accuracy over time cannot be drawn" in texts(read_html, finished)


@pytest.mark.parametrize(
    ("accuracy", "allowed", "tone"), [(0.586, None, "good"), (0.57, None, "bad"), (0.57, 0.02, "good")]
)
def test_the_headline_is_green_only_when_the_accuracy_was_kept(finished, read_html, accuracy, allowed, tone):
    finished.steps[2].finetuned.map, finished.options["max_drop"] = accuracy, allowed
    assert f'<h1 class="{tone}">' in page(finished, None)
