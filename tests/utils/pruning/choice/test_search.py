"""Searching for the cut that meets what can only be measured."""

import pytest

from utils.errors import InputError
from utils.files.checkpoint import checkpoint_bytes, finished_content
from utils.pruning.choice.search import bisect, confirmed, file_megabytes, largest_fitting, smallest_within


def test_bisection_ends_on_the_fitting_side():
    found = bisect(lambda left: left <= 0.37, 0.1, 1.0, 0.001)
    assert 0.369 <= found <= 0.37
    found = bisect(lambda left: left >= 0.62, 1.0, 0.2, 0.001)
    assert 0.62 <= found <= 0.621


def test_the_largest_network_that_fits():
    asked = []

    def measure(left):
        asked.append(left)
        return 10 * left

    assert 4.95 <= measure(largest_fitting(measure, 5.0, 0.1, "MB")) <= 5.0
    assert len(asked) < 15
    assert largest_fitting(measure, 11.0, 0.1, "MB") == 1.0  # it fits as it is
    with pytest.raises(InputError, match=r"cannot be met; .* has 1 MB"):
        largest_fitting(measure, 0.5, 0.1, "MB")


def test_the_deepest_cut_within_a_drop():
    def drop(left):
        return (1 - left) ** 2

    assert smallest_within(drop, 0.25, 0.1) == pytest.approx(0.5, abs=0.005)
    assert smallest_within(drop, 0.9, 0.1) == 0.1
    assert smallest_within(drop, 0.0, 0.1) > 0.99


def test_a_time_that_is_not_confirmed_is_cut_further():
    noisy = iter([12.0, 9.9])
    left, value = confirmed(lambda left: next(noisy), 10.0, 0.6, 0.2)
    assert left == pytest.approx(0.6 * 0.99 * 10 / 12) and value == 9.9
    assert confirmed(lambda left: 50.0, 10.0, 0.3, 0.2) == (0.2, 50.0)  # no further than the floor


def test_size_is_that_of_the_file(tiny_model):
    assert file_megabytes(tiny_model) == pytest.approx(len(checkpoint_bytes(finished_content(tiny_model))) / 1e6)
