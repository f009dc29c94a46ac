"""Budgets that only a built network can be held against: the bytes of its file, its milliseconds, its accuracy.

Each is met by bisection over the share of a cost that stays, and confirmed on the network that is kept.
"""

import math
from collections.abc import Callable

from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.checkpoint import checkpoint_bytes, finished_content

STEP = 0.005  # share of the cost at which a bisection ends
MARGIN = 0.99  # of the limit is aimed at after a miss, so that the noise of a measurement does not make the next one


def bisect(fits: Callable[[float], bool], good: float, bad: float, step: float = STEP) -> float:
    """Return the share nearest to `bad` that still fits, to within `step`; `good` fits, `bad` does not."""
    while abs(good - bad) > step:
        middle = (good + bad) / 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def attempts(floor: float) -> int:
    """Return about how many networks a search from 1 down to `floor` measures."""
    return 2 + math.ceil(math.log2(max((1 - floor) / STEP, 1)))


def largest_fitting(measure: Callable[[float], float], limit: float, floor: float, unit: str) -> float:
    """Return the largest share left, from `floor` to 1, at which measure(share) is at most `limit`.

    unit: of what is measured, for messages. Raises InputError when even the smallest network is above it.
    """
    if measure(1.0) <= limit:
        return 1.0
    smallest = measure(floor)
    if smallest > limit:
        raise InputError(f"cannot be met; the smallest network that the limits allow has {smallest:.3g} {unit}")
    return bisect(lambda left: measure(left) <= limit, floor, 1.0)


def smallest_within(drop: Callable[[float], float], limit: float, floor: float) -> float:
    """Return the smallest share left, from `floor` to 1, at which drop(share) is at most `limit`; drop(1) is 0."""
    return floor if drop(floor) <= limit else bisect(lambda left: drop(left) <= limit, 1.0, floor)


def confirmed(measure: Callable[[float], float], limit: float, left: float, floor: float) -> tuple[float, float]:
    """Return (share left, what was measured) of a network that meets the limit when measured anew, else cut further."""
    while True:
        value = measure(left)
        if value <= limit or left <= floor:
            return left, value
        left = max(floor, left * (MARGIN * limit / value))


def file_megabytes(model: DetectionModel) -> float:
    """Return the size of a DetectionModel's finished checkpoint in MB (10⁶ bytes)."""
    return len(checkpoint_bytes(finished_content(model))) / 1e6
