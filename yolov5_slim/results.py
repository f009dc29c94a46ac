"""What the functions return: paths and numbers."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Scores:
    """How well a network finds the objects of a data set; of all classes, means over those that have labels."""

    precision: float
    recall: float
    map50: float
    map: float  # mean over IoU 0.50:0.05:0.95


@dataclass(frozen=True)
class Network:
    """The numbers of one network; None where nothing was measured."""

    parameters: int
    gflops: float  # of one image
    map50: float | None = None
    map: float | None = None
    bytes: int | None = None  # of its checkpoint
    ms: float | None = None  # an image, PyTorch on one thread of the CPU


@dataclass(frozen=True, kw_only=True)
class Result:
    """What every call returns."""

    output: str = field(default="", repr=False)  # of a quiet call, the lines that it did not print


@dataclass(frozen=True)
class ValResult(Result):
    """What `val` measured."""

    folder: Path
    scores: Scores
    classes: dict[str, Scores]
    images: int
    instances: int
    speed: tuple[float, ...]  # milliseconds an image: preparation, network, suppression


@dataclass(frozen=True)
class TrainResult(Result):
    """What `train`, `sparsify` and `finetune` made."""

    folder: Path
    best: Path  # checkpoint of the best epoch; without validation that of the last
    last: Path
    best_sparse: Path | None  # best checkpoint that can be cut; only after sparse training
    epochs: int  # done
    scores: Scores | None  # of the checkpoint to use; None without validation images
    classes: dict[str, Scores]


@dataclass(frozen=True)
class PruneResult(Result):
    """What `prune` made."""

    weights: Path | None  # the narrower checkpoint; None after a dry run
    report: Path | None  # the page about it
    before: Network
    after: Network


@dataclass(frozen=True)
class SlimResult(Result):
    """What `slim` reached."""

    folder: Path
    weights: Path  # the result
    start: Network
    end: Network
    steps: int  # kept
    reason: str  # why it is over


@dataclass(frozen=True)
class ExportedFile:
    """One file, and what differs from the checkpoint's detector; nothing should."""

    path: Path
    problems: tuple[str, ...]


@dataclass(frozen=True)
class ExportResult(Result):
    """What `export` wrote."""

    files: tuple[ExportedFile, ...]

    @property
    def broken(self) -> bool:
        """Whether any file is not the same detector."""
        return any(file.problems for file in self.files)
