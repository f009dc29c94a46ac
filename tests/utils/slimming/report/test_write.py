"""write_report leaves readable files in every state of a run, and the page is right for a phone in a real browser."""

import re
from dataclasses import replace

import cv2
import pytest

from utils.errors import InputError
from utils.slimming.report.write import write_page, write_report

CHARTS = ("course", "latency", "norms")


@pytest.fixture
def many(finished, attempt, measurements):
    """A record of 30 steps and 100 layers with names that are markup, formulas and too long."""
    names = [f'model.{i}.<b>&"$x_{{{"long" * (i % 9)}.conv' for i in range(100)]
    steps = [
        attempt(i, kept=i % 3 > 0, finetuned=measurements(names=names, ms=7 - i / 6, gflops=0.95**i))
        for i in range(1, 31)
    ]
    return replace(finished, start=measurements(names=names), steps=steps, delivered=29)


@pytest.fixture
def states(finished, unfinished, many, attempt, measurements):
    """Records in every state that a run can be in."""
    other = measurements(names=["b"])
    bad = attempt(1, kept=False, finetuned=measurements(ms=0.0, map=0.0, loss=None))
    return {
        "before the first step": unfinished,
        "finished": finished,
        "only undone": replace(unfinished, steps=[bad, replace(bad, attempt=2)]),
        "nothing left of an attempt": replace(unfinished, steps=[attempt(1, kept=False)]),
        "many": many,
        "one layer": replace(unfinished, start=measurements(names=["a"]), steps=[attempt(1, finetuned=other)]),
        "silent filters": replace(unfinished, start=measurements(0.0)),
        "no layers": replace(unfinished, start=measurements(names=[])),
    }


def test_charts_and_page_are_written(states, tmp_path):
    for name in ("before the first step", "finished"):
        folder = tmp_path / name
        write_report(states[name], folder)
        files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        assert files == [*(f"charts/{chart}.png" for chart in sorted(CHARTS)), "slim.html"]
        for chart in CHARTS:
            assert cv2.imread(str(folder / "charts" / f"{chart}.png")).min() < 200  # something is drawn on the white


def test_every_state_of_a_run_has_a_page(states, tmp_path, read_html):
    for name, record in states.items():
        write_page(record, tmp_path)
        text = " ".join(read_html((tmp_path / "slim.html").read_text()).texts)
        assert "Networks" in text and not re.search(r"\bnan\b|\binf\b|None", text), name


def test_the_same_record_gives_the_same_page_again(finished, tmp_path):
    write_page(finished, tmp_path)
    first = (tmp_path / "slim.html").read_bytes()
    (tmp_path / "slim.html").write_text("old")
    write_page(finished, tmp_path)
    assert (tmp_path / "slim.html").read_bytes() == first


def test_commands_name_the_best_so_far_once_it_is_there(finished, unfinished, tmp_path):
    write_page(unfinished, tmp_path)
    assert "export.py" not in (tmp_path / "slim.html").read_text()
    (tmp_path / "slim.pt").write_bytes(b"")
    write_page(unfinished, tmp_path)
    assert f"--weights {tmp_path / 'slim.pt'} --include onnx" in (tmp_path / "slim.html").read_text()
    write_page(replace(finished, output="my out.pt"), tmp_path)
    assert "--weights &#39;my out.pt&#39; --include" in (tmp_path / "slim.html").read_text()


def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing_behind(unfinished, tmp_path):
    (tmp_path / "slim.html" / "full").mkdir(parents=True)
    with pytest.raises(InputError, match="slim.html: cannot be written"):
        write_page(unfinished, tmp_path)
    (tmp_path / "charts" / "course.png").mkdir(parents=True)
    with pytest.raises(InputError, match="course.png: cannot be written"):
        write_report(unfinished, tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


def test_no_page_is_wider_than_a_phone(states, tmp_path, page_widths):
    pages = []
    for record in states.values():
        write_page(record, tmp_path)
        pages.append((tmp_path / "slim.html").read_text())
    assert page_widths(pages) == [(390, 1200)] * len(pages)
