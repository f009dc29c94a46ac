"""Ticks are round numbers."""

import pytest

from utils.pictures.svg import log_ticks, ticks


@pytest.mark.parametrize(
    ("high", "values"),
    [
        (1, [0, 0.5, 1]),
        (0.919, [0, 0.5]),
        (23.4, [0, 10, 20]),
        (1000, [0, 500, 1000]),
        (0.05, [0, 0.02, 0.04]),
        (4, [0, 1, 2, 3, 4]),
    ],
)
def test_ticks_are_round(high, values):
    assert [value for value, _ in ticks(high)] == pytest.approx(values)


def test_ticks_begin_at_a_lower_end():
    assert [text for _, text in ticks(0.61, low=0.54)] == ["0.54", "0.56", "0.58", "0.6"]
    assert [text for _, text in ticks(0.61, low=0.541)] == ["0.56", "0.58", "0.6"]


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [(0.009, 0.11, ["0.01", "0.02", "0.05", "0.1"]), (0.0009, 0.9, ["0.001", "0.01", "0.1"]), (0.04, 0.06, ["0.05"])],
)
def test_ticks_of_a_logarithmic_axis(low, high, texts):
    assert [text for _, text in log_ticks(low, high)] == texts
