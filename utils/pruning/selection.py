"""Which channels stay: a pure function of scores, costs and limits, with no model in sight."""

import math
from dataclasses import dataclass

import numpy as np

from utils.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What a selection must leave of every group."""

    min_channels: int = 8  # a group keeps at least this many, or all it has
    max_share: float = 0.9  # largest share of a group's channels in use that may go; silent ones all may
    multiple: int = 8  # kept widths are multiples of this, because processors compute in such blocks

    def floor(self, width, used):
        """Return the smallest width that a group of `width` channels, `used` of them in use, may be cut to."""
        least = max(self.min_channels, math.ceil(used * (1 - self.max_share) - 1e-9), 1)
        return min(width, math.ceil(least / self.multiple) * self.multiple)


@dataclass(frozen=True)
class Block:
    """Channels of one group that go together: the weakest that are left when all blocks before it are gone."""

    group: str
    channels: np.ndarray  # indices into the group
    score: float  # what is lost, the sum over the channels
    cost: float  # what is gained

    @property
    def rate(self):
        """Loss per gain: the smallest go first."""
        return self.score / self.cost


def blocks_of(name, scores, costs, limits):
    """Return the Blocks of one group in the order in which they may go, weakest first.

    scores, costs: [width]; a channel with score 0 is silent. After each block the remaining width is a multiple of
    limits.multiple.
    """
    width, order = len(scores), np.argsort(scores, kind="stable")
    floor = limits.floor(width, np.count_nonzero(scores))
    cuts = list(range(width % limits.multiple or limits.multiple, width - floor + 1, limits.multiple))
    blocks = []
    for start, stop in zip([0, *cuts], cuts):
        channels = order[start:stop]
        blocks.append(Block(name, channels, float(scores[channels].sum()), float(costs[channels].sum())))
    return blocks


def largest_share(scores, costs, limits):
    """Return the largest share of the total cost that can go without breaking the limits; arguments as for select."""
    removable = sum(block.cost for name in scores for block in blocks_of(name, scores[name], costs[name], limits))
    return removable / sum(c.sum() for c in costs.values())


def select(scores, costs, share, limits):
    """Return {group: bool [width], True for the channels that stay} with about `share` of the cost removed.

    scores: {group: [width]}, what is lost with a channel; costs: {group: [width]}, what is gained, equal within a group.
    A threshold on the loss per gain decides in all groups, in blocks of limits.multiple; the result is the one nearest to
    the share among those that a threshold can give. Raises InputError when the share is outside [0, 1) or the limits do not allow it.
    """
    if not 0 <= share < 1:
        raise InputError(f"share {share}: must be at least 0 and below 1")
    total = sum(c.sum() for c in costs.values())
    blocks = [b for name in scores for b in blocks_of(name, scores[name], costs[name], limits)]
    ceiling = sum(b.cost for b in blocks) / total
    blocks.sort(key=lambda b: b.rate)  # stable: within a group the order stays
    keep = {name: np.ones(len(s), dtype=bool) for name, s in scores.items()}
    removed = 0.0
    for block in blocks:
        if removed + block.cost / 2 > share * total:
            return keep
        keep[block.group][block.channels] = False
        removed += block.cost
    if share > ceiling + 0.005:
        raise InputError(
            f"{share:.1%} of the channels cannot go: at most {ceiling:.1%} with at least {limits.min_channels} channels and "
            f"{1 - limits.max_share:.0%} of those in use left in every layer, in multiples of {limits.multiple}"
        )
    return keep
