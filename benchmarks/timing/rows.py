"""Rows of docs/PERFORMANCE.md: what was measured, what it is compared with, and by which command, where and when."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np

from utils.training.machine.processor import processor

HEAD = "| what | here | reference | ratio | spread | command | machine | date |\n" + 8 * "|---" + "|"


@dataclass(frozen=True)
class Row:
    """A measurement in rounds, and the same of a reference; without one the sequence is empty."""

    what: str
    unit: str
    here: Sequence[float]
    reference: Sequence[float] = ()
    against: str = ""

    def cells(self) -> list[str]:
        """Return what was measured, both medians, and median and range of how many times as much the reference takes.

        Where the reference is measured as often as the rest, each round has its ratio.
        """
        each = np.broadcast_to(self.reference, len(self.here)) if self.reference else ()
        ratios = [other / own for own, other in zip(self.here, each)] or list(self.here)
        spread = f"{digits(min(ratios))} to {digits(max(ratios))}, {len(ratios)} rounds"
        here = f"{digits(statistics.median(self.here))} {self.unit}"
        if not self.reference:
            return [self.what, here, "-", "-", spread]
        other = f"{digits(statistics.median(self.reference))}, {self.against}"
        return [self.what, here, other, digits(statistics.median(ratios)), spread]


@dataclass(frozen=True)
class Growth:
    """Costs [rounds, k] at k sizes; the exponent of their power law stands where others have a ratio."""

    what: str
    unit: str
    sizes: Sequence[float]
    costs: Sequence[Sequence[float]]
    of: str  # what the sizes count
    expected: str = "1, linear"

    def exponents(self) -> list[float]:
        """Return the exponent of each round: the slope of the logarithms by least squares."""
        return [float(np.polyfit(np.log(self.sizes), np.log(costs), 1)[0]) for costs in self.costs]

    def cells(self) -> list[str]:
        """Return what was measured, the first and the last cost, the exponent and its range."""
        found, (first, *_, last) = self.exponents(), np.median(self.costs, 0)
        sizes = f"{self.sizes[0]:,.0f} to {self.sizes[-1]:,.0f} {self.of}"
        spread = f"{min(found):.2f} to {max(found):.2f}, {len(found)} rounds"
        here = f"{digits(first)} to {digits(last)} {self.unit}"
        return [f"{self.what}, {sizes}", here, self.expected, f"exponent {statistics.median(found):.2f}", spread]


def digits(value: float) -> str:
    """Return a number with three digits, and whole from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def command(script: str, options: Any) -> str:
    """Return a script and those options, of a dataclass, that differ from their defaults, as they are typed.

    Of a path only its name is told.
    """
    words = [f"python {script}"]
    for each in fields(options):
        value = getattr(options, each.name)
        if value != type(options)().__dict__[each.name]:
            flag = "--" + each.name.replace("_", "-")
            told = value if isinstance(value, list) else [value]
            words += [flag] if value is True else [flag, *(str(part).rsplit("/", 1)[-1] for part in told)]
    return " ".join(words)


def table(rows: Sequence[Row | Growth], told: str) -> str:
    """Return rows as a table; told: the command that measured them."""
    place = f"`{told}`", f"{processor()}, {os.cpu_count()} cores", str(date.today())
    return "\n".join([HEAD, *("| " + " | ".join([*row.cells(), *place]) + " |" for row in rows)])


def in_turns(rounds: int, *ways: Callable[[], float]) -> list[list[float]]:
    """Return what each way gave in each round [ways][rounds], the ways in turns."""
    found = [[way() for way in ways] for _ in range(rounds)]
    return [list(values) for values in zip(*found, strict=True)]


def computing(work: Callable[[], Any]) -> float:
    """Return the CPU seconds that a call takes in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def of_command(words: Sequence[str], expected: int = 0) -> float:
    """Return the CPU seconds of a command, its children's too. Raises CalledProcessError for another exit status."""
    before = os.times()
    done = subprocess.run(words, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = os.times()
    if done.returncode != expected:
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
    return after.children_user + after.children_system - before.children_user - before.children_system
