"""What a run may expect from its photos and steps: the nearest of the runs that were measured, as plain words."""

import math
from dataclasses import dataclass

import numpy as np

from utils.data.samples import Samples
from utils.sparsity.goal import Goal

FEW = 10  # photos a class; with fewer, training does not teach a narrow network its classes anew
FAR = math.log(4)  # photos a class or steps that differ by more than this factor are another case
APART = 0.05  # mAP50-95: a near case whose loss differs by more from the nearest one's is told too
FLOPS = {  # kind of a goal → (share of it that is left, share of the FLOPs that was), see docs/RESULTS.md
    "channels": ((0.0, 0.3, 0.5, 0.7, 1.0), (0.0, 0.39, 0.63, 0.78, 1.0)),
    "time": ((0.0, 0.42, 0.46, 0.5, 1.0), (0.0, 0.31, 0.39, 0.42, 1.0)),
}


@dataclass(frozen=True)
class Case:
    """Photos and steps of a training, and the share of the FLOPs that is left after it; None: not known."""

    photos: int
    classes: int
    steps: int
    left: float | None

    @property
    def each(self) -> float:
        """Photos a class."""
        return self.photos / max(self.classes, 1)

    def distance(self, other: "Case") -> float:
        """Return how far two cases are apart; a share of the FLOPs counts more than as many photos or steps."""
        return self.equipment(other) + 3 * abs(math.log((self.left or 1) / (other.left or 1)))

    def equipment(self, other: "Case") -> float:
        """Return by how much photos a class and steps differ together, in logarithms."""
        return abs(math.log(max(self.each, 0.01) / other.each)) + abs(math.log(max(self.steps, 1) / other.steps))


@dataclass(frozen=True)
class Measured:
    """A case that was run: mAP50-95 of the dense network trained as long, and the least and most that was lost."""

    case: Case
    dense: float
    lost: tuple[float, float]
    what: str = ""  # that is particular about it

    def near(self, case: Case) -> bool:
        """Tell whether a case is alike."""
        return case.equipment(self.case) <= FAR and 0.75 <= (case.left or 1) / (self.case.left or 1) <= 1.33

    def __str__(self) -> str:
        """Return in words what was run and lost."""
        known, (least, most) = self.case, self.lost
        lost = f"{most:.2f}" if least == most else f"{least:.2f} to {most:.2f}"
        return (
            f"{described(known)}{self.what}, {known.steps:,} steps, {known.left:.0%} of the FLOPs: "
            f"{lost} of mAP50-95 {self.dense:.3f} lost"
        )


MEASURED = (  # after the cut or fine-tuned, seeds together; see docs/RESULTS.md and docs/EXPERIMENTS.md
    Measured(Case(205, 3, 262, 0.78), 0.603, (0.0, 0.01)),
    Measured(Case(205, 3, 262, 0.63), 0.603, (0.0, 0.01)),
    Measured(Case(205, 3, 262, 0.39), 0.603, (0.0, 0.05)),
    Measured(Case(205, 3, 262, 0.25), 0.603, (0.01, 0.04)),
    Measured(Case(205, 3, 2100, 0.34), 0.603, (0.0, 0.0)),
    Measured(Case(205, 3, 2100, 0.27), 0.603, (0.0, 0.03)),
    Measured(Case(120, 3, 1800, 0.5), 0.580, (0.0, 0.01)),
    Measured(Case(120, 3, 1800, 0.33), 0.580, (0.0, 0.01)),
    Measured(Case(120, 3, 1800, 0.2), 0.580, (0.01, 0.03)),
    Measured(Case(160, 1, 2400, 0.5), 0.786, (0.0, 0.0)),
    Measured(Case(160, 1, 2400, 0.33), 0.786, (0.0, 0.0)),
    Measured(Case(160, 1, 2400, 0.2), 0.786, (0.0, 0.0)),
    Measured(Case(40, 3, 600, 0.5), 0.425, (0.0, 0.0)),
    Measured(Case(40, 3, 600, 0.33), 0.512, (0.0, 0.02)),
    Measured(Case(40, 3, 600, 0.2), 0.425, (0.0, 0.06)),
    Measured(Case(61, 1, 960, 0.33), 0.230, (0.12, 0.13), " that the public weights know"),
    Measured(Case(70, 3, 137, 0.63), 0.586, (0.02, 0.03)),
    Measured(Case(128, 80, 86, 0.8), 0.296, (0.08, 0.08)),
    Measured(Case(128, 80, 86, 0.63), 0.296, (0.28, 0.29)),
)


def flops_left(goal: Goal) -> float:
    """Return about which share of the FLOPs a goal leaves, by what was measured for goals of its kind."""
    return float(np.interp(goal.left, *FLOPS[goal.kind])) if goal.kind in FLOPS else goal.left


def outlook(samples: Samples, steps: int, left: float | None, fading: int | None = None) -> list[str]:
    """Return the lines of `expected` for the training photos of a run; no line where they show no object."""
    kinds = np.unique(samples.labels.values[:, 0])
    case = Case(len(samples), len(kinds), steps, left)
    return expected(case, len(samples.labels.values), fading) if len(kinds) else []


def expected(case: Case, objects: int, fading: int | None = None) -> list[str]:
    """Return in words what a run has, and what the nearest measured one lost.

    Args:
        case: of the run.
        objects: in the training photos.
        fading: optimizer steps of the run in which channels fade; None: none do.
    """
    fade = "" if fading is None else f", {fading:,} of them for the fade"
    has = f"{described(case)}, {objects:,} objects, {case.steps:,} optimizer steps{fade}"
    lines = [f"expect: {has}" if case.left is None else f"expect: {has}; about {case.left:.0%} of the FLOPs stay"]
    if case.left is not None:
        lines += [f"  {line}" for line in measured_lines(case)]
    if case.each < FEW:
        lines.append(
            f"  few photos a class ({case.each:.3g}): training may cost more than it brings; "
            "at its end it is compared with doing without"
        )
    return lines


def measured_lines(case: Case) -> list[str]:
    """Return what the nearest measured case lost, whether it is near, and a near one that lost much more or less."""
    nearest, *others = sorted(MEASURED, key=lambda known: case.distance(known.case))
    lines = [f"{'measured nearest' if nearest.near(case) else 'nothing alike was measured; the nearest'}: {nearest}"]
    unlike = [known for known in others if known.near(case) and abs(known.lost[1] - nearest.lost[1]) > APART]
    return lines + [f"measured too: {known}" for known in unlike[:1]]


def described(case: Case) -> str:
    """Return photos and classes in words."""
    return f"{case.photos:,} photos of {case.classes:,} class{'es' * (case.classes != 1)}"
