"""Which channels stay: a pure function of scores, costs and limits, with no model in sight."""

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.errors import InputError
from utils.pruning.channels.masks import Masks
from utils.pruning.choice.limits import Limits

TOLERANCE = 0.005  # of what shall stay: as near to a budget counts as met
CEILING_SLACK = 0.005  # of the whole: as near to a budget is near enough when the limits allow no more


@dataclass(frozen=True)
class Block:
    """Channels of one group that go together: the weakest that are left when all blocks before it are gone."""

    group: str
    channels: np.ndarray  # indices into the group
    score: float  # what is lost, the sum over the channels
    depth: float  # share of the group that is gone after it


def blocks_of(name: str, scores: np.ndarray, limits: Limits) -> list[Block]:
    """Return the Blocks of one group in the order in which they may go, weakest first.

    scores: [width]; a channel with score 0 is silent. After each block the remaining width is a multiple of
    limits.multiple.
    """
    width, order = len(scores), np.argsort(scores, kind="stable")
    cuts = list(range(width % limits.multiple or limits.multiple, width - limits.smallest(scores) + 1, limits.multiple))
    return [
        Block(name, order[start:stop], float(scores[order[start:stop]].sum()), stop / width)
        for start, stop in zip([0, *cuts], cuts)
    ]


class Queue:
    """The next block of every group, cheapest loss per gain first; what is gained is asked anew as other blocks go."""

    def __init__(self, scores: Mapping[str, np.ndarray], ledger: Any, limits: Limits, scope: str) -> None:
        """scope: 'global' orders by score over gain, 'layer' by the share of the group that is gone, alike in all."""
        self.ledger, self.scope = ledger, scope
        self.blocks = [list(reversed(blocks_of(name, values, limits))) for name, values in scores.items()]
        self.heap: list[Any] = []
        for number in range(len(self.blocks)):
            self.advance(number)

    def advance(self, number: int) -> None:
        """Line up the next block of a group."""
        if self.blocks[number]:
            block = self.blocks[number].pop()
            heapq.heappush(self.heap, (self.rate(block), number, block))

    def rate(self, block: Block) -> float:
        """Return what is lost with a block for what is gained now."""
        if self.scope == "layer":
            return block.depth
        return block.score / max(self.ledger.gain(block.group, block.channels), 1e-12)

    def pop(self) -> tuple[int, Block]:
        """Return (group number, block) that goes next. Gains only shrink, so a rate in the heap is never too high."""
        while True:
            _, number, block = heapq.heappop(self.heap)
            rate = self.rate(block)
            if not self.heap or rate <= self.heap[0][0]:
                return number, block
            heapq.heappush(self.heap, (rate, number, block))


def select_by_cost(
    scores: Mapping[str, np.ndarray], cost: Any, left: float, limits: Limits, scope: str = "global"
) -> Masks:
    """Return the Masks with which about `left` of a network's cost stays.

    scores: {group: [width]}, what is lost with a channel; cost: see costs.py. The blocks of limits.multiple channels go
    in the order of loss per gain (or of depth, see Queue) until the budget is met within TOLERANCE. One that would
    overshoot it by more lets smaller ones go first, and goes after all if nothing else comes nearer. Raises InputError
    when `left` is outside (0, 1] or the limits do not allow it.
    """
    if not 0 < left <= 1:
        raise InputError(f"share {left} of the {cost.name} to be left: must be above 0 and at most 1")
    limits = limits.on_blocks_of(cost)
    budget, ledger = left * cost.total, cost.ledger()
    keep = Masks.whole({name: len(values) for name, values in scores.items()})
    queue, too_large = Queue(scores, ledger, limits, scope), []
    while queue.heap:
        number, block = queue.pop()
        over, after = ledger.left - budget, ledger.left - ledger.gain(block.group, block.channels) - budget
        if abs(after) > over and over <= budget * TOLERANCE:
            break
        if after < -budget * TOLERANCE:
            too_large.append(block)  # and the group rests
            continue
        keep[block.group][block.channels] = False
        ledger.remove(block.group, block.channels)
        queue.advance(number)
    over = ledger.left - budget
    nearest = min(too_large, key=lambda b: abs(over - ledger.gain(b.group, b.channels)), default=None)
    if nearest and over > budget * TOLERANCE and abs(over - ledger.gain(nearest.group, nearest.channels)) < over:
        keep[nearest.group][nearest.channels] = False
    if not too_large and over > CEILING_SLACK * cost.total:
        ceiling = 1 - ledger.left / cost.total
        raise InputError(f"{1 - left:.1%} of the {cost.name} cannot go: at most {rounded_down(ceiling)} with {limits}")
    return keep


def rounded_down(share: float) -> str:
    """Return a share that can go as percent, never more than what works."""
    return f"{math.floor(share * 1000 + 1e-9) / 1000:.1%}"


def smallest(scores: Mapping[str, np.ndarray], limits: Limits) -> Masks:
    """Return the Masks of the deepest cut that the limits allow."""
    keep = Masks.whole({name: len(values) for name, values in scores.items()})
    for name, values in scores.items():
        for block in blocks_of(name, values, limits):
            keep[name][block.channels] = False
    return keep


def largest_share(scores: Mapping[str, np.ndarray], cost: Any, limits: Limits) -> float:
    """Return the largest share of a cost (see costs.py) that can go without breaking the limits."""
    return 1 - cost.of(smallest(scores, limits.on_blocks_of(cost))) / cost.total
