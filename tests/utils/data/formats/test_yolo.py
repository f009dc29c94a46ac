"""Label files written by hand."""

import numpy as np
import pytest

from utils.data.formats.yolo import read_label_file
from utils.data.labels import list_problems


@pytest.fixture
def rows(tmp_path):
    """Return a function that reads text as a label file of three classes."""

    def read(text, **options):
        (tmp_path / "a.txt").write_text(text)
        return read_label_file(tmp_path / "a.txt", 3, **options)

    return read


def test_boxes_are_read_as_they_stand(rows):
    found = rows("0 0.5 0.25 0.125 0.5\n\n  2 0.25 1 0.5 0.0005  \n")
    assert found.boxes.dtype == np.float32
    assert found.boxes.tolist() == [[0, 0.5, 0.25, 0.125, 0.5], [2, 0.25, 1, 0.5, np.float32(0.0005)]]
    assert (found.segments, found.counts.total(), found.problems) == (None, 0, [])


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_has_no_boxes(rows, text):
    found = rows(text)
    assert found.boxes.shape == (0, 5)
    assert (found.segments, found.counts.total()) == (None, 0)


def test_the_box_of_a_polygon_is_its_bounds(rows):
    found = rows("1 0.25 0.5 0.75 0.5 0.5 1\n0 0.5 0.5 0.5 0.5\n")
    assert found.boxes.tolist() == [[1, 0.5, 0.75, 0.5, 0.5], [0, 0.5, 0.5, 0.5, 0.5]]
    assert found.segments[0].tolist() == [[0.25, 0.5], [0.75, 0.5], [0.5, 1]]
    assert found.segments[1] is None


def test_repeated_rows_are_dropped_and_counted(rows):
    found = rows("0 .5 .5 .2 .2\n1 .5 .5 .2 .2\n0 0.50 0.5 0.2 0.2\n0 .5 .5 .2 .2\n")
    assert found.boxes[:, 0].tolist() == [0, 1]
    assert found.counts["duplicate"] == 2


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0 0.5 0.5 0.2", "4 columns"),
        ("0 0.5 0.5 0.2 0.2 9", "6 columns; must be 5"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 columns: a confidence at the end"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 columns"),
        ("0 0.5 nan 0.2 0.2", "value nan"),
        ("0 inf 0.5 0.2 0.2", "value inf"),
        ("0 0.5 0.5 0.2 -0.01", "value -0.01"),
        ("0 320 240 50 50", "value 320"),
        ("0 0.1 0.1 0.2 0.2 0.3 2.5", "value 2.5"),
        ("3 0.5 0.5 0.2 0.2", "class 3; must be a whole number from 0 to 2"),
        ("-1 0.5 0.5 0.2 0.2", "class -1"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5"),
        ("nan 0.5 0.5 0.2 0.2", "class nan"),
        ("cat 0.5 0.5 0.2 0.2", "'cat' is not a number"),
    ],
)
def test_a_bad_row_is_a_problem_with_file_and_line(rows, tmp_path, row, words):
    found = rows(f"0 0.5 0.5 0.2 0.2\n\n{row}\n")
    assert len(found.boxes) == len(found.problems) == 1
    message = list_problems(found.problems)
    assert message.startswith(f"{tmp_path / 'a.txt'}:3: ")
    assert words in message
    assert "\n" not in message


def test_the_first_ten_problems_are_shown_and_the_kinds_counted(rows, tmp_path):
    found = rows("0 0.5\n" * 8 + "0 0.5 nan 0.2 0.2\n" * 5)
    first, *lines = list_problems(found.problems).splitlines()
    assert first.startswith("13 rows cannot be read (8 with a wrong number of columns, 5 with other values)")
    assert [line.split(": ")[0].strip() for line in lines[:10]] == [f"{tmp_path / 'a.txt'}:{n}" for n in range(1, 11)]
    assert [line.strip() for line in lines[10:]] == ["and 3 more"]


@pytest.mark.parametrize(
    ("row", "boxes", "counts"),
    [
        ("0 0.5 0.5 1.0000001 1", [[0.5, 0.5, 1, 1]], {}),
        ("0 0.9 0.5 0.2 0.2", [[0.9, 0.5, 0.2, 0.2]], {}),
        ("0 0.9 0.5 0.4 0.2", [[0.85, 0.5, 0.3, 0.2]], {"clipped": 1}),
        ("0 0.5 0.5 1.0042 1", [[0.5, 0.5, 1, 1]], {"clipped": 1}),
        ("0 -0.02 0.5 0.2 0.2", [[0.04, 0.5, 0.08, 0.2]], {"clipped": 1}),
        ("0 1.2 0.5 0.2 0.2", [], {"dropped": 1}),
        ("0 0.5 0.5 0 0.2", [], {"dropped": 1}),
        ("0 0.5 0.5 1.04 0.5 1.04 1 0.5 1", [[0.75, 0.75, 0.5, 0.5]], {"clipped": 1}),
        ("0 1.1 0.5 1.2 0.5 1.1 1", [], {"dropped": 1}),
        ("0 0.1 0.5 0.2 0.5 0.3 0.5", [], {"dropped": 1}),
    ],
)
def test_objects_that_reach_out_are_cut_and_those_outside_dropped(rows, row, boxes, counts):
    found = rows(row)
    assert found.boxes[:, 1:] == pytest.approx(np.array(boxes).reshape(-1, 4), abs=1e-6)
    assert {kind: number for kind, number in found.counts.items() if number} == counts
    if found.segments:
        assert all((points >= 0).all() and (points <= 1).all() for points in found.segments)


def test_rows_with_a_confidence_are_accepted_where_asked(rows):
    found = rows("0 0.5 0.5 0.2 0.2 0.9\n1 0.5 0.5 0.2 0.2\n", accept_conf=True)
    assert found.boxes[:, 0].tolist() == [0, 1]
    assert found.problems == []


@pytest.mark.parametrize("seed", range(20))
def test_boxes_read_at_once_are_those_read_row_by_row(rows, seed):
    """A repeated row makes the reader go row by row."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.001, 1, (9, 2))
    centre = size / 2 + rng.uniform(0, 1, (9, 2)) * (1 - size)
    digits = rng.integers(3, 18)
    lines = [
        f"{rng.integers(3)} " + " ".join(f"{value:.{digits}f}" for value in (*c, *s))
        for c, s in zip(centre, size, strict=True)
    ]
    once, twice = rows("\n".join(lines)), rows("\n".join([*lines, lines[0]]))
    assert once.boxes.dtype == twice.boxes.dtype == np.float32
    assert once.boxes.tolist() == twice.boxes.tolist()
    assert (once.counts.total(), twice.counts["duplicate"]) == (twice.counts.total() - 1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_polygons_read_at_once_are_those_read_row_by_row(rows, seed):
    """A repeated row makes the reader go row by row, and so does a box among them."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(3, 18)
    lines = [
        f"{rng.integers(3)} " + " ".join(f"{value:.{digits}f}" for value in rng.uniform(0, 1, 2 * rng.integers(3, 12)))
        for _ in range(rng.integers(1, 9))
    ]
    once, twice = rows("\n".join(lines)), rows("\n".join([*lines, lines[0]]))
    mixed = rows("\n".join([*lines, "0 0.5 0.5 0.1 0.1"]))
    assert once.boxes.dtype == np.float32 and once.boxes.tolist() == twice.boxes.tolist() == mixed.boxes[:-1].tolist()
    assert len(once.segments) == len(lines)
    for ours, theirs in zip(once.segments, twice.segments, strict=True):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert (once.counts.total(), twice.counts["duplicate"]) == (twice.counts.total() - 1, 1)


@pytest.mark.parametrize("word", ["nan", "inf", "-0.1", "1.1", "x", "3"])
@pytest.mark.parametrize("place", [0, 3])
def test_a_polygon_with_a_fault_among_others_is_read_as_alone(rows, word, place):
    good, words = "1 0.1 0.1 0.9 0.2 0.4 0.8", ["0", "0.2", "0.3", "0.6", "0.2", "0.4", "0.9"]
    words[place] = word
    alone, among = rows(" ".join(words)), rows(f"{good}\n{' '.join(words)}")
    assert among.boxes[1:].tolist() == alone.boxes.tolist() and len(among.problems) == len(alone.problems)
    assert alone.problems or alone.counts["clipped"] or alone.counts["dropped"]
