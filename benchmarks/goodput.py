"""Goodput of a long training on many nodes that fail, by simulation: python benchmarks/goodput.py [--nodes 64].

Each node fails at random, on average once in --node-days. A failure ends all processes; what was done since the last
checkpoint is lost, and the run goes on after --restart seconds. A checkpoint stops all for --save seconds. Goodput is
the share of the time that training took which was needed. For each interval between checkpoints it is simulated, and
computed by the formula of Daly (2006), whose best interval stands beside it.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402  (the path comes first)

from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402

DAY = 86400.0


@dataclass
class GoodputOptions:
    """Options of this benchmark."""

    nodes: int = option(64, "nodes", minimum=1)
    node_days: float = option(100.0, "days between two failures of one node, on average", minimum=0.1)
    save: float = option(5.0, "seconds that a checkpoint stops the training", minimum=0.001)
    restart: float = option(180.0, "seconds from a failure until training goes on", minimum=0.0)
    days: float = option(10.0, "days that the training takes without failures and checkpoints", minimum=0.01)
    intervals: list[float] = option([60, 300, 900, 3600, 14400], "seconds between checkpoints", nargs="+", minimum=1)
    runs: int = option(200, "trainings that are simulated for each interval", minimum=2)
    seed: int = option(0, "of the random numbers", minimum=0)


def duration(work: float, interval: float, save: float, restart: float, mean: float, rng: np.random.Generator) -> float:
    """Return the seconds that a training takes.

    Args:
        work: seconds without failures and checkpoints.
        interval: seconds of work between two checkpoints.
        save: seconds of a checkpoint.
        restart: seconds after a failure; another one may fall into them.
        mean: seconds between two failures.
        rng: draws the failures.
    """
    pieces = math.ceil(work / interval)
    left, total = pieces, 0.0
    last = work - (pieces - 1) * interval
    while left:
        until = rng.exponential(mean)  # the next failure
        whole = (left - 1) * (interval + save) + last + save
        if until >= whole:
            return total + whole
        left -= min(int(until // (interval + save)), left - 1)
        total += until
        total += recovery(restart, mean, rng)
    return total


def recovery(restart: float, mean: float, rng: np.random.Generator) -> float:
    """Return the seconds until training goes on; a failure meanwhile begins it anew."""
    spent = 0.0
    while (until := rng.exponential(mean)) < restart:
        spent += until
    return spent + restart


def expected(interval: float, save: float, restart: float, mean: float) -> float:
    """Return the goodput by Daly's formula: work over M·e^(R/M)·(e^((τ+δ)/M) − 1)·work/τ."""
    return interval / (mean * math.exp(restart / mean) * math.expm1((interval + save) / mean))


def young(save: float, mean: float) -> float:
    """Return Young's interval (1974) in seconds: √(2·save·mean)."""
    return math.sqrt(2 * save * mean)


def daly(save: float, mean: float) -> float:
    """Return Daly's interval (2006) in seconds, of a higher order in save / mean."""
    if save >= 2 * mean:
        return mean
    root = math.sqrt(save / (2 * mean))
    return young(save, mean) * (1 + root / 3 + save / (18 * mean)) - save


def simulated(options: GoodputOptions, interval: float) -> tuple[float, float]:
    """Return mean and standard deviation of the goodput of simulated trainings."""
    work, mean = options.days * DAY, options.node_days * DAY / options.nodes
    rng = np.random.default_rng([options.seed, round(interval * 1000)])
    times = [duration(work, interval, options.save, options.restart, mean, rng) for _ in range(options.runs)]
    shares = work / np.array(times)
    return float(shares.mean()), float(shares.std())


def table(options: GoodputOptions) -> Sequence[str]:
    """Return the lines of the result."""
    mean = options.node_days * DAY / options.nodes
    best = daly(options.save, mean)
    lines = [
        f"{options.nodes} nodes, a failure every {mean / 3600:.1f} hours, checkpoints of {options.save:g} s, "
        f"{options.restart:g} s to restart, {options.days:g} days, {options.runs} runs, seed {options.seed}",
        f"best interval: Young {young(options.save, mean):.0f} s, Daly {best:.0f} s",
        f"{'interval s':>12}{'simulated':>12}{'spread':>9}{'formula':>10}",
    ]
    for interval in sorted({*options.intervals, round(best)}):
        share, spread = simulated(options, interval)
        formula = expected(interval, options.save, options.restart, mean)
        lines.append(f"{interval:>12g}{share:>12.2%}{spread:>9.2%}{formula:>10.2%}")
    return lines


def main(options: GoodputOptions) -> None:
    """Print the goodput of each interval."""
    print("\n".join(table(options)))


if __name__ == "__main__":
    run(GoodputOptions, main, __doc__)
