"""Rounds that scatter are repeated, and a busy machine is named."""

import pytest

from utils.benchmark.latency import WARM_UP
from utils.benchmark.steadiness import ATTEMPTS, Rounds, busy_line, take_steady_turns

ROUNDS = 8


def measured(*attempts):
    """Return (seconds of the rounds that count, what was said) where a call takes either of two times, in turns."""
    now, said = [0.0], []
    durations = iter([pair[number % 2] for pair in attempts for number in range(WARM_UP + ROUNDS)])

    def call():
        now[0] += next(durations)

    found = take_steady_turns({"a": call}, ROUNDS, clock=lambda: now[0], say=said.append)
    assert not list(durations)  # as many attempts as were there
    return found["a"].clock, said


def test_scatter_is_the_distance_of_the_quartiles_over_the_median():
    assert Rounds([1.0, 2.0, 3.0, 4.0, 5.0], []).scatter == pytest.approx(2 / 3)


def test_steady_rounds_are_taken_once():
    seconds, said = measured((1.0, 1.1))
    assert sorted(seconds) == pytest.approx([1.0] * 4 + [1.1] * 4) and said == []


def test_rounds_that_scatter_are_repeated_until_they_do_not():
    seconds, said = measured((1.0, 3.0), (2.0, 2.1))
    assert max(seconds) == pytest.approx(2.1) and len(said) == 1 and "repeated" in said[0]


def test_of_rounds_that_always_scatter_the_steadiest_count():
    seconds, said = measured((1.0, 3.0), (1.0, 2.0), (1.0, 4.0))
    assert max(seconds) == pytest.approx(2.0) and len(said) == ATTEMPTS and "quiet machine" in said[-1]


def test_the_processor_counts_its_own_time():
    taken = take_steady_turns({"a": lambda: sum(range(20_000))}, 3, say=lambda line: None)["a"]
    assert len(taken.processor) == 3 and min(taken.processor) > 0


@pytest.mark.parametrize(
    ("threads", "load", "cores", "busy"),
    [(1, 0.2, 2, False), (1, 1.4, 2, False), (2, 0.4, 2, False), (2, 1.0, 2, True), (1, 8.0, 2, True)],
)
def test_a_machine_without_free_cores_is_busy(threads, load, cores, busy):
    assert bool(busy_line(threads, load, cores)) == busy
