"""Messages: one line each, whatever the file holds that they are about."""

import pytest

from utils.errors import LONGEST_LINE, InputError, one_line, printable, readable


def test_control_characters_are_shown_escaped():
    assert one_line("a\x1b[31m\nb\u202e\ud800é") == r"a\x1b[31m\nb\u202e\ud800é"


def test_a_line_ends_after_300_characters():
    assert len(one_line("x" * 1000)) == LONGEST_LINE == 300


def test_only_indented_lines_follow_the_first():
    assert printable("train.py: error: bad\n  row 1\ntrain.py: all is well") == (
        "train.py: error: bad\n  row 1\\ntrain.py: all is well"
    )


@pytest.mark.parametrize("error", [KeyError("a"), RecursionError("deep"), MemoryError(), OSError(5, "I/O error")])
def test_whatever_a_library_raises_names_the_file(error):
    with pytest.raises(InputError, match=r"^x\.json: not a readable list \("), readable("x.json", "list"):
        raise error


def test_an_interrupt_is_no_bad_file():
    with pytest.raises(KeyboardInterrupt), readable("x.json", "list"):
        raise KeyboardInterrupt
