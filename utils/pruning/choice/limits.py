"""What a selection must leave, as numbers: known before anything is loaded."""

import math
from dataclasses import dataclass, replace
from typing import Any

SCOPES = ("global", "layer")
# The largest share of a layer that may go. Where training has silenced the channels, or goes on after a small step, a
# layer can spare more than in one cut of channels that may be in use: each layer then keeps a good part of its own.
LARGEST_SHARE = 0.9  # sparse training to a goal, slim.py
LARGEST_SHARE_AT_ONCE = 0.7  # prune.py, and the previews of what it would cut


@dataclass(frozen=True)
class Limits:
    """What a selection must leave of every group."""

    min_channels: int = 8  # a group keeps at least this many, or all it has
    max_share: float = LARGEST_SHARE  # largest share of a group's channels in use that may go; silent ones all may
    multiple: int = 8  # kept widths are multiples of this, because processors compute in such blocks
    std_guard: float | None = None  # only channels that score below mean − std_guard · deviation of their group may go

    def on_blocks_of(self, cost: Any) -> "Limits":
        """Return the Limits whose multiple agrees with the blocks that a cost (see costs.py) is paid for in."""
        return replace(self, multiple=math.lcm(self.multiple, cost.block))

    def floor(self, width: int, used: int) -> int:
        """Return the smallest width that a group of `width` channels, `used` of them in use, may be cut to."""
        least = max(self.min_channels, math.ceil(used * (1 - self.max_share) - 1e-9), 1)
        return min(width, math.ceil(least / self.multiple) * self.multiple)

    def smallest(self, scores: Any) -> int:
        """Return the smallest width that a group with these scores [width] may be cut to."""
        floor = self.floor(len(scores), int((scores != 0).sum()))
        if self.std_guard is None:
            return floor
        guarded = int((scores >= scores.mean() - self.std_guard * scores.std()).sum())
        return max(floor, min(len(scores), math.ceil(guarded / self.multiple) * self.multiple))

    def __str__(self) -> str:
        share = f"{1 - self.max_share:.0%} of those in use"
        words = f"at least {self.min_channels} channels and {share} left in every layer"
        if self.std_guard is not None:
            words += f", only those {self.std_guard:g} deviations below their layer's mean going"
        return f"{words}, in multiples of {self.multiple}"
