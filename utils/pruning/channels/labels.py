"""Labels of channels, the layers that have them, and how a tensor carries them."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass
class Layer:
    """A traced layer with channels: the labels of those that it reads and gives."""

    name: str
    inputs: np.ndarray  # [c_in] labels
    outputs: np.ndarray  # [c_out] labels
    kind: str  # "conv", "transposed conv", "linear", "attention" or "norm"
    area: float  # pixels that its products are made at (of the output; a transposed one's input) over image pixels
    depthwise: bool = False  # a convolution in as many groups as inputs, or attention: it gives its inputs' channels
    by_group: bool = False  # its groups or heads go as a whole, so that there are fewer of them after a cut
    across: int | None = None  # axis, counted from the end, of the channels that a norm takes one mean over

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution, not a transposed one."""
        return self.kind == "conv"

    @property
    def is_attention(self) -> bool:
        """Whether it is torch's attention: it gives the channels that it reads."""
        return self.kind == "attention"

    @property
    def is_norm(self) -> bool:
        """Whether it is a norm: it gives the channels that it reads."""
        return self.kind == "norm"

    def fan_in(self, inputs: float, groups: int) -> float:
        """Return how many channels each output reads once `inputs` are left; groups: of the whole layer."""
        return (len(self.inputs) if self.by_group else inputs) / groups


@dataclass(frozen=True)
class Carried:
    """The channels of a tensor lie along one axis: entry i there is of label vector[i], whatever the other indices."""

    axis: int
    vector: np.ndarray  # [size of the axis] labels
    loud: str | None = None  # what makes a silent channel something else than zero, or None: it is zero here

    def through(self, at_zero: torch.Tensor, how: str) -> "Carried":
        """Return what an operation on each number carries that gives `at_zero` for zeros; how: the operation."""
        loud = None if torch.equal(at_zero, torch.zeros(1)) else f"{how} is not zero at zero"
        return Carried(self.axis, self.vector, self.loud or loud)

    def positions(self, shape: torch.Size) -> torch.Tensor:
        """Return int64 [shape]: for every number of a tensor its index along the axis."""
        index = torch.arange(len(self.vector))
        return index.view([-1 if axis == self.axis else 1 for axis in range(len(shape))]).expand(shape).contiguous()


class Labels:
    """Union-find over channel labels, with a reason for each frozen one."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.reasons: dict[int, str] = {}
        self.ties: dict[int, set[str]] = {}  # root → what made labels the same

    def fresh(self, count: int) -> np.ndarray:
        """Return `count` new labels."""
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, label: int) -> int:
        """Return the representative of a label."""
        while self.parent[label] != label:
            self.parent[label] = self.parent[self.parent[label]]
            label = self.parent[label]
        return label

    def roots(self, vector: np.ndarray) -> np.ndarray:
        """Return the representatives of a vector of labels."""
        return np.array([self.root(label) for label in vector.tolist()], dtype=np.int64)

    def tie(self, first: np.ndarray, second: np.ndarray, how: str) -> None:
        """Make the labels at each index of two vectors the same; how: by what, in words."""
        for a, b in zip(first.tolist(), second.tolist()):
            a, b = sorted((self.root(a), self.root(b)))
            if a != b:
                self.parent[b] = a
                self.ties[a] = self.ties.get(a, set()) | self.ties.pop(b, set()) | {how}

    def tie_rows(self, table: np.ndarray, how: str) -> None:
        """Make the labels in each column of a table [rows, columns] the same."""
        for row in table[1:]:
            self.tie(table[0], row, how)

    def freeze(self, vector: np.ndarray, reason: str) -> None:
        """Forbid cutting these labels; the first reason stays."""
        for label in vector.tolist():
            self.reasons.setdefault(label, reason)
