"""Which channels stay, as selection, rebuilding, repair and previews hand it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # selection has no model in sight
    from utils.pruning.channels.groups import ChannelGraph


class Masks(dict[str, np.ndarray]):
    """{group name: bool [width], True for the channels that stay}; groups that are not named stay whole."""

    def __init__(self, keep: Mapping[str, np.ndarray] = {}) -> None:
        """Raises ValueError when a mask is no vector of bool."""
        super().__init__(keep)
        for name, mask in self.items():
            if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 1:
                raise ValueError(f"mask of {name}: must be a vector of bool")

    @classmethod
    def whole(cls, widths: Mapping[str, int]) -> Masks:
        """Return the Masks that keep every channel of groups {name: width}."""
        return cls({name: np.ones(width, dtype=bool) for name, width in widths.items()})

    def check(self, graph: ChannelGraph) -> Masks:
        """Return the Masks. Raises ValueError when they do not fit the free groups of a ChannelGraph."""
        groups = {group.name: group for group in graph.groups}
        for name, mask in self.items():
            group = groups.get(name)
            if group is None:
                raise ValueError(f"mask of {name}: no such group; the first is {graph.groups[0].name}")
            if len(mask) != group.width:
                raise ValueError(f"mask of {name}: {len(mask)} channels, but the group has {group.width}")
            if group.protected and not mask.all():
                raise ValueError(f"mask of {name}: the group is protected ({group.protected})")
        return self

    def __str__(self) -> str:
        wide = max(map(len, self), default=0)
        return "\n".join(f"{name:<{wide}}  {int(mask.sum())} of {len(mask)} stay" for name, mask in self.items())
