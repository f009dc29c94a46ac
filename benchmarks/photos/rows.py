"""Rows of benchmarks/few_photos.py, one for a network and a seed, and what several seeds come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

CONTROL = "control"
HEAD = "| seed | network | epochs | FLOPs left | mAP50 / mAP50-95 |\n|--:|---|--:|--:|--:|"
MEANS = "| network | epochs | FLOPs left | mAP50 | mAP50-95 | against the control |\n|---|--:|--:|--:|--:|--:|"


@dataclass(frozen=True)
class Row:
    """What a network of one seed reaches; epochs: all that it has had, those of the dense network included."""

    seed: int
    network: str
    epochs: int
    left: float  # of the dense network's FLOPs
    map50: float
    map: float

    def __str__(self) -> str:
        """Return the line of the table."""
        cells = self.seed, self.network, self.epochs, f"{self.left:.0%}", f"{self.map50:.3f} / {self.map:.3f}"
        return f"| {' | '.join(map(str, cells))} |"


def summary(rows: Sequence[Row]) -> str:
    """Return the table of means over the seeds with the smallest and largest, and of mean differences to the control.

    Every seed has the same networks, the control among them.
    """
    of: dict[str, list[Row]] = {}
    for row in rows:
        of.setdefault(row.network, []).append(row)
    return "\n".join([MEANS, *(line(each, of[CONTROL]) for each in of.values())])


def line(rows: Sequence[Row], control: Sequence[Row]) -> str:
    """Return the line of one network: its rows and the control's, a seed each in the same order."""
    epochs = sorted({row.epochs for row in rows})
    cells = [
        rows[0].network,
        f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}",
        f"{mean(row.left for row in rows):.0%}",
        spread([row.map50 for row in rows]),
        spread([row.map for row in rows]),
        f"{mean(row.map50 for row in rows) - mean(row.map50 for row in control):+.3f} / "
        f"{mean(row.map for row in rows) - mean(row.map for row in control):+.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float]) -> str:
    """Return mean, smallest and largest."""
    return f"{mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
