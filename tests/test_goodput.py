"""The simulation of a run whose nodes fail agrees with the formula and with what can be counted by hand."""

import numpy as np
import pytest

from benchmarks.goodput import GoodputOptions, daly, duration, expected, simulated, young


class NoFailure:
    """Stands for a generator: nothing fails within a run."""

    def exponential(self, mean):
        return 1e12


class FailsAt:
    """Stands for a generator: the first failure comes after so many seconds, then none."""

    def __init__(self, seconds):
        self.times = [seconds]

    def exponential(self, mean):
        return self.times.pop(0) if self.times else 1e12


def test_times_that_can_be_counted_by_hand():
    assert duration(1000, 300, 10, 60, 1, NoFailure()) == 1000 + 4 * 10
    # One checkpoint was kept at 310 s; the failure at 500 s costs 190 s and the restart.
    assert duration(1000, 300, 10, 60, 1, FailsAt(500)) == 500 + 60 + 700 + 3 * 10
    assert young(50, 10000) == 1000


def test_the_simulation_agrees_with_the_formula_and_its_best_interval():
    options = GoodputOptions(node_days=10, days=2, runs=100)
    mean = 10 * 86400 / 64
    best = daly(options.save, mean)
    for interval in (60, best, 3600):
        share, spread = simulated(options, interval)
        assert share == pytest.approx(expected(interval, 5, 180, mean), abs=4 * spread / np.sqrt(100))
    shares = [expected(interval, 5, 180, mean) for interval in (best / 2, best, best * 2)]
    assert shares[1] == max(shares)
