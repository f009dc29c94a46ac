"""Too little memory for a batch: it goes through the network in pieces, and their gradients add up to the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from utils.training.faults.setbacks import TrainingError
from utils.training.run import Run

WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "alloc_failed")
T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """A part of a batch."""

    images: torch.Tensor  # [b + m, 3, H, W], those with labels first
    targets: torch.Tensor  # [n, 6], whose first column is the image within the piece
    labelled: int  # b
    share: float  # of the images with labels of the batch


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is any of those that say that there is no memory, on a GPU or in the main memory."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in WORDS)


def pieces(images: torch.Tensor, targets: torch.Tensor, labelled: int, size: int) -> Iterator[Piece]:
    """Yield a batch in pieces of at most `size` images with labels.

    images: [B + M, 3, H, W]; labelled: B; targets: [N, 6]. The M images without labels are spread evenly.
    """
    if size >= labelled:
        yield Piece(images, targets, labelled, 1.0)
        return
    count = -(-labelled // size)
    parts = zip(images[:labelled].split(size), images[labelled:].tensor_split(count), strict=True)
    for index, (own, more) in enumerate(parts):
        first = index * size
        rows = targets[(targets[:, 0] >= first) & (targets[:, 0] < first + len(own))].clone()
        rows[:, 0] -= first
        yield Piece(torch.cat((own, more)), rows, len(own), len(own) / labelled)


def fitting(run: Run, labelled: int, work: Callable[[int], T]) -> T:
    """Return work(images at a time), which adds the gradients of a batch; with half as many while memory is short.

    labelled: images with labels in the batch; they are those that are counted.

    The number that fits is kept for the batches to come. Raises TrainingError when not even one image fits.
    """
    if run.processes.distributed:  # gradients are exchanged during the backward pass, which cannot be done again
        return work(labelled)
    parameters = [parameter for parameter in run.model.parameters() if parameter.requires_grad]
    earlier = [parameter.grad for parameter in parameters]  # of the batches of this step that are through
    while True:
        for parameter in parameters:
            parameter.grad = None
        try:
            result = work(run.images_at_once or labelled)
            break
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        halve(run, labelled)  # behind the except: the error holds on to what the network has computed
    for parameter, gradient in zip(parameters, earlier, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else gradient.add_(parameter.grad)
    return result


def halve(run: Run, labelled: int) -> None:
    """Let half as many images go through the network at once. Raises TrainingError when it is one already."""
    before = min(run.images_at_once or labelled, labelled)
    if before == 1:
        raise TrainingError(
            f"{run.place}: out of memory with one image of {run.batch.size} pixels at a time; the last checkpoint "
            "stays. Try a smaller --imgsz or a smaller network"
        )
    run.images_at_once = -(-before // 2)
    run.say(
        f"{run.place}: out of memory with {before} images at a time; from here on {run.images_at_once}, "
        "and their gradients add up to those of the batch"
    )
    if run.device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def explained(run: Run) -> Iterator[None]:
    """Turn an error of the body that says that there is no memory into a TrainingError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise TrainingError(
            f"{run.place}: out of memory; the last checkpoint stays. Try a smaller --batch-size"
        ) from None


def images_of(raw: Any, count: int) -> Any:
    """Return raw outputs, nl maps [B, ...], of the first images only."""
    return raw if count == len(raw[0]) else [maps[:count] for maps in raw]
