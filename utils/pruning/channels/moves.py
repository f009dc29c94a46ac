"""Operations that only move numbers: where the channels lie afterwards, and which must go together or stay for it.

The operation itself tells: it is run on the index of each number's channel in place of the number. What its arguments
say in constants has to mean the same in the narrower network: what lies before a constant bound stays, equal pieces
lose the same places, and an axis of a constant size cannot shrink.
"""

from collections.abc import Callable
from math import gcd
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from utils.pruning.channels.labels import Carried, Labels

MANY_PIECES = 8  # more equal pieces than any network is known to cut its channels into


def settle(labels: Labels, source: Carried, moved: torch.Tensor, fixed: set[int], how: str) -> Carried | None:
    """Return where channels lie in a tensor of moved positions; ties those that share an index of that axis.

    Args:
        labels: of all channels.
        source: how the tensor before the operation carried them.
        moved: int64 of the new shape: the index along source.axis that each number had.
        fixed: axes whose size is a constant.
        how: the operation, in words.

    Returns None, with the labels frozen, where no axis can shrink.
    """
    varying = [axis for axis in range(moved.dim()) if (moved != moved.select(axis, 0).unsqueeze(axis)).any()]
    tables = {axis: moved.movedim(axis, 0).flatten(1).numpy() for axis in varying if axis not in fixed}
    if len(varying) == 1 and tables:
        return Carried(varying[0], source.vector[tables[varying[0]][:, 0]], source.loud)
    ties = {axis: tied_positions(table, len(source.vector)) for axis, table in tables.items()}
    axis = max(ties, key=lambda axis: count_units(ties[axis], len(source.vector)), default=None)
    if axis is None or count_units(ties[axis], len(source.vector)) == 1:
        reason = f"{how} leaves one of them" if not varying else f"{how} has room for just as many"
        labels.freeze(source.vector[np.unique(moved.numpy())], reason)
        return None
    labels.tie(source.vector[ties[axis][0]], source.vector[ties[axis][1]], "rearrangements")
    return Carried(axis, source.vector[tables[axis][:, 0]], source.loud)


def tied_positions(table: np.ndarray, count: int) -> np.ndarray:
    """Return [2, n] pairs of positions (below `count`) that stand in one row of a table [rows, columns]."""
    pairs = np.unique(table[:, :1] * count + table)
    return np.stack((pairs // count, pairs % count))


def count_units(pairs: np.ndarray, count: int) -> int:
    """Return into how many parts `count` positions fall when pairs [2, n] are joined."""
    joined = Labels()
    vector = joined.fresh(count)
    joined.tie(vector[pairs[0]], vector[pairs[1]], "")
    return len(set(joined.roots(vector).tolist()))


def fixed_axes(node: fx.Node, module: nn.Module | None) -> set[int]:
    """Return the axes of a node's result whose size is written as a constant."""
    name = operation(node)
    first: int = 0
    sizes: Any = ()
    if name in ("view", "reshape", "expand"):
        sizes = node.args[1:] or node.kwargs.get("shape", node.kwargs.get("size", ()))
        sizes = sizes[0] if sizes and isinstance(sizes[0], (tuple, list)) else sizes
    elif isinstance(module, nn.Unflatten):
        first, sizes = int(module.dim), module.unflattened_size
    elif name == "unflatten":
        first, sizes = argument(node, 1, "dim", 0), argument(node, 2, "sizes", ())
    return {first + i for i, size in enumerate(sizes) if isinstance(size, int) and size != -1}


def tie_bounds(
    labels: Labels, node: fx.Node, source: Carried, ndim: int, how: str, value_of: Callable[[Any], Any]
) -> None:
    """Freeze or tie the channels of a tensor of `ndim` axes, so that an operation cuts it at the same places later.

    how: the operation, in words.
    value_of: gives the number behind an argument that is a node; it comes from a size and follows a cut.
    """
    count = len(source.vector)
    constant, following = bounds(node, source.axis, ndim, count)
    following = [value_of(bound) for bound in following]
    piece = gcd(count, *(bound for bound in following if isinstance(bound, int)))
    if not all(isinstance(bound, int) and bound > 0 for bound in following) or count // piece > MANY_PIECES:
        constant = count
    elif piece < count:
        labels.tie_rows(source.vector.reshape(-1, piece), "equal pieces")
    labels.freeze(source.vector[:constant], f"{how} has fixed bounds")


def bounds(node: fx.Node, axis: int, ndim: int, count: int) -> tuple[int, list[Any]]:
    """Return where an operation cuts an axis of `count` channels: the last constant bound, and those that follow it."""
    name = operation(node)
    if name == "getitem":
        return index_bounds(entry_of(node.args[1], axis, ndim), count)
    if name not in ("chunk", "split", "narrow", "select", "index_select", "unbind"):
        return 0, []
    place = {"chunk": 2, "split": 2, "unbind": 1}.get(name, 1)
    dim = argument(node, place, "dim", 0)
    if not isinstance(dim, int) or dim % ndim != axis:
        return 0, []
    if name == "chunk":
        pieces = argument(node, 1, "chunks", None)
        whole = isinstance(pieces, int) and count % pieces == 0
        return (0, [count // pieces]) if whole else (count, [])
    if name == "split":
        size = node.args[1] if len(node.args) > 1 else node.kwargs.get("split_size", count)
        return (0, [size]) if isinstance(size, fx.Node) else (count, [])
    if name == "narrow":
        start, length = node.args[2:4] if len(node.args) > 3 else (None, None)
        return (start + length, []) if isinstance(start, int) and isinstance(length, int) else (count, [])
    if name == "select":
        return index_bounds(argument(node, 2, "index", None), count)
    return count, []


def index_bounds(entry: Any, count: int) -> tuple[int, list[Any]]:
    """Return the same for one entry of an index: a slice, a number, or something else."""
    if isinstance(entry, slice) and entry.step in (None, 1):
        ends = [end for end in (entry.start, entry.stop) if end is not None]
        constant = [end for end in ends if isinstance(end, int)]
        if any(end < 0 for end in constant):
            return count, []
        return min(max(constant, default=0), count), [end for end in ends if isinstance(end, fx.Node)]
    if isinstance(entry, int) and entry >= 0:
        return entry + 1, []
    return count, []


def entry_of(index: Any, axis: int, ndim: int) -> Any:
    """Return the entry of an index that stands for an axis of a tensor of `ndim` axes; slice(None) where none does."""
    index = index if isinstance(index, tuple) else (index,)
    used = sum(entry is not None and entry is not Ellipsis for entry in index)
    here = 0
    for entry in index:
        if entry is None:
            continue
        if entry is Ellipsis:
            here += ndim - used
            if axis < here:
                return slice(None)
            continue
        if here == axis:
            return entry
        here += 1
    return slice(None)


def operation(node: fx.Node) -> str:
    """Return the bare name of a node's operation."""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def argument(node: fx.Node, place: int, name: str, default: Any) -> Any:
    """Return an argument of a node by place or name."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)
