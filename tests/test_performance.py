"""The benchmarks of speed and memory: their rows, their place in the document, and all of them at tiny sizes."""

import re

import pytest
from PIL import Image

from benchmarks.performance import MODULES, PerformanceOptions, main, marked
from benchmarks.timing import plots
from benchmarks.timing.rows import Growth, Row, command, digits
from benchmarks.timing.start_up import StartOptions
from utils.cli.options import parse
from utils.errors import InputError
from utils.files.paths import ROOT

DOCUMENT = ROOT / "docs/PERFORMANCE.md"
QUICK = ["scan", "shards", "validation", "average_precision", "training_step", "sparsity_step", "pruning_time"]


def test_a_row_has_the_ratio_of_each_round():
    row = Row("a scan", "CPU s", [1.0, 2.0, 4.0], [3.0, 4.0, 4.0], "decoded")
    assert row.cells() == ["a scan", "2 CPU s", "4, decoded", "2", "1 to 3, 3 rounds"]


def test_a_row_without_reference_has_its_own_spread():
    assert Row("a cut", "CPU s", [0.5, 0.25]).cells() == ["a cut", "0.375 CPU s", "-", "-", "0.25 to 0.5, 2 rounds"]


def test_growth_fits_the_exponent_of_a_power_law():
    growth = Growth("a sum", "s", [1, 10, 100], [[2, 20, 200], [3, 300, 30000]], "items")
    assert growth.exponents() == pytest.approx([1, 2])
    assert growth.cells()[3:] == ["exponent 1.50", "1.00 to 2.00, 2 rounds"]


@pytest.mark.parametrize(("value", "text"), [(0.12345, "0.123"), (45.67, "45.7"), (1234.5, "1,234"), (0, "0")])
def test_numbers_have_three_digits(value, text):
    assert digits(value) == text


def test_a_command_tells_what_differs_from_the_defaults():
    options = StartOptions("/a/b/c.pt", "photo.jpg", rounds=2)
    words = command("start_up.py", options).split()
    assert words == ["python", "start_up.py", "--weights", "c.pt", "--photo", "photo.jpg", "--rounds", "2"]
    assert parse(StartOptions, words[2:]) == StartOptions("c.pt", "photo.jpg", rounds=2)


def test_a_table_takes_the_place_between_its_markers():
    text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert marked(text, "x", "new") == text.replace("old", "new")


@pytest.mark.parametrize("text", ["", "<!-- x -->\n", "\n<!-- /x --> <!-- x -->\n"])
def test_a_document_without_markers_is_refused(text):
    with pytest.raises(InputError, match="<!-- x -->"):
        marked(text, "x", "new")


def test_the_document_has_a_place_for_every_benchmark():
    for name in MODULES:
        marked(DOCUMENT.read_text(encoding="utf-8"), name, "")


def test_a_document_is_asked_for_its_places_before_anything_is_measured(tmp_path):
    with pytest.raises(InputError, match="--document"):
        main(PerformanceOptions(only=["scan"], document=str(tmp_path / "missing.md")))


def test_all_that_run_in_this_process_write_their_tables(tmp_path, capsys):
    file = tmp_path / "document.md"
    file.write_text("".join(f"<!-- {name} -->\n\n<!-- /{name} -->\n" for name in QUICK))
    main(PerformanceOptions(only=QUICK, quick=True, document=str(file)))
    text = file.read_text()
    for name in QUICK:
        table = text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0].splitlines()
        assert len(table) > 2, name
        assert all(len(line.split(" | ")) == 8 for line in table[2:]), name
        assert all(re.search(r"`python benchmarks/\S+\.py.*` \| .* cores \| \d{4}-\d\d-\d\d \|$", x) for x in table[2:])


def test_the_picture_of_growth_is_small_and_shows_each_unit(tmp_path, monkeypatch):
    found = [Growth(f"cost {i}", unit, [1, 10], [[1, 5 + i]], "items") for i in range(6) for unit in plots.UNITS]
    drawn = []
    monkeypatch.setattr(plots, "draw", lambda panel, some, draw=plots.draw: (drawn.append(some), draw(panel, some)))
    plots.plot_growth(tmp_path / "new/growth.png", found)
    assert drawn == [found[::2], found[1::2]]
    assert (tmp_path / "new/growth.png").stat().st_size < 40_000
    assert len(Image.open(tmp_path / "new/growth.png").getcolors(plots.COLOURS)) > 10
