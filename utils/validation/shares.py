"""What several processes found on their shares of the images, put together as if one had found it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch

from utils.boxes.metrics import ConfusionMatrix
from utils.validation.evaluate import Findings, Tally


@dataclass(frozen=True)
class Packed:
    """Findings as a few arrays, which travel between processes faster than many tensors."""

    columns: list[np.ndarray]  # what Tally keeps of each image, joined; none without images
    lengths: list[np.ndarray]  # rows of each image in each column
    ends: list[int]
    losses: list[np.ndarray]
    seconds: list[float]
    confusion: ConfusionMatrix | None


def pack(found: Findings) -> Packed:
    """Return Findings as Packed."""
    columns = list(zip(*found.tally.parts, strict=True))
    return Packed(
        [torch.cat(column).numpy() for column in columns],
        [np.array([len(part) for part in column]) for column in columns],
        found.ends,
        [loss.numpy() for loss in found.losses],
        found.seconds,
        found.tally.confusion,
    )


def join(shares: Sequence[Packed]) -> Findings:
    """Return what one process would have found: batch k of share r is batch k·shares + r. Seconds add up."""
    tally = Tally(shares[0].confusion)
    if tally.confusion is not None:
        tally.confusion.matrix = np.sum([share.confusion.matrix for share in shares if share.confusion is not None], 0)
    ends: list[int] = []
    for parts in in_turn([batches(share) for share in shares]):
        tally.parts += parts
        tally.images += len(parts)
        ends.append(tally.images)
    losses = [torch.from_numpy(loss) for loss in in_turn([share.losses for share in shares])]
    return Findings(tally, ends, losses, [sum(times) for times in zip(*(share.seconds for share in shares))])


def batches(share: Packed) -> list[list[tuple[torch.Tensor, ...]]]:
    """Return for each batch of a share what Tally keeps of its images."""
    split = [torch.from_numpy(column).split(lengths.tolist()) for column, lengths in zip(share.columns, share.lengths)]
    parts = list(zip(*split, strict=True))
    return [parts[start:end] for start, end in zip([0, *share.ends], share.ends)]


def in_turn(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the first of each list, then the second of each, and so on; some may end earlier."""
    missing = object()
    return [item for item in chain.from_iterable(zip_longest(*lists, fillvalue=missing)) if item is not missing]
