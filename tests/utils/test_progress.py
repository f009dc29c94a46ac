import io

import pytest

from utils.progress import BYTES, Progress, track


class Clock:
    """A clock that only moves when it is told to."""

    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines_at(seconds_each, parts, total="parts", **options):
    """Return [(second, line)] that a log gets from work of so many parts, each as long."""
    clock, stream, seen = Clock(), io.StringIO(), []
    options = {"unit": "images", **options}
    with Progress("scanning", parts if total == "parts" else total, stream=stream, clock=clock, **options) as progress:
        for _ in range(parts):
            clock.now += seconds_each
            before = stream.tell()
            progress.update()
            if stream.tell() > before:
                seen.append((clock.now, stream.getvalue()[before:]))
        before = stream.tell()
    closing = stream.getvalue()[before:]
    assert "\r" not in stream.getvalue()
    return seen, closing


def test_short_work_leaves_nothing_in_a_log():
    assert lines_at(0.99, 10) == ([], "")


def test_first_line_after_ten_seconds_then_each_thirty():
    seen, closing = lines_at(1, 100)
    assert [second for second, _ in seen] == [10, 40, 70, 100]
    assert seen[0][1] == "scanning: 10 of 100 images (10%), 00:10 so far, about 01:30 left\n"
    assert closing == "scanning: 100 of 100 images (100%), took 01:40\n"


def test_longer_work_says_each_tenth():
    seconds = [second for second, _ in lines_at(1, 1000)[0]]
    assert seconds == [10, *range(110, 1000, 100)]


def test_never_silent_for_more_than_five_minutes():
    seconds = [second for second, _ in lines_at(100, 500)[0]]
    assert {after - before for before, after in zip(seconds, seconds[1:])} == {300}


def test_unknown_total_has_no_time_left():
    seen, closing = lines_at(5, 4, total=None)
    assert seen == [(10, "scanning: 2 images, 00:10 so far\n")]
    assert closing == "scanning: 4 images, took 00:20\n"


def test_bytes_have_their_own_units():
    seen, _ = lines_at(20, 3, total=3000, unit=BYTES, done=1500)
    assert seen[0][1].startswith("scanning: 1.50kB of 3.00kB (50%), 00:20 so far, about ")


def test_what_was_done_before_does_not_count_for_the_speed():
    clock = Clock()
    progress = Progress("training", 100, done=90, stream=io.StringIO(), clock=clock)
    assert progress.seconds_left() is None
    clock.now = 7
    progress.update()
    assert progress.seconds_left() == pytest.approx(7 * 9)


def test_a_failure_is_not_called_done():
    clock, stream = Clock(), io.StringIO()
    with pytest.raises(KeyError), Progress("scanning", 9, stream=stream, clock=clock) as progress:
        clock.now = 20
        progress.update()
        raise KeyError
    assert len(stream.getvalue().splitlines()) == 1


def test_a_note_stands_behind_the_numbers():
    clock, stream = Clock(), io.StringIO()
    progress = Progress("sparse training", 9, "epochs", stream=stream, clock=clock)
    progress.what, progress.note, clock.now = "fine-tuning", "mAP50-95 0.5", 20
    progress.update()
    line = stream.getvalue().strip()
    assert line.startswith("fine-tuning: 1 of 9 epochs") and line.endswith("; mAP50-95 0.5")


def test_a_terminal_gets_a_bar_and_no_line():
    stream, clock = Terminal(), Clock()
    with Progress("scanning", 2, stream=stream, clock=clock, leave=True) as progress:
        for _ in range(2):
            clock.now += 60
            progress.update()
    assert "2/2" in stream.getvalue() and "so far" not in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_nothing_is_shown_where_nothing_is_wanted(stream):
    clock = Clock()
    with Progress("scanning", 2, stream=stream, clock=clock, shown=False) as progress:
        clock.now = 60
        progress.update()
    assert stream.getvalue() == ""


def test_track_yields_what_it_is_given(capsys):
    assert list(track(iter("abc"), "letters", 3)) == list("abc")
    assert list(track([1, 2], "numbers")) == [1, 2]
    assert capsys.readouterr().err == ""
