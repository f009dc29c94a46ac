"""Does a training need more and more? The memory, open files and threads of its process, over many epochs.

    python benchmarks/leaks.py --epochs 200

A small network is trained on drawn images, validated and saved after every epoch. What the process holds then is read
from Linux. Prints a row every so many epochs, and how much came on top after the first tenth of the run.
"""

import os
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml  # noqa: E402

from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.shapes import draw_shapes  # noqa: E402
from utils.files.paths import ROOT  # noqa: E402
from utils.training.loop import Hook, Run  # noqa: E402
from utils.training.train import TrainOptions, train  # noqa: E402

ROWS = 20  # that are printed
ALLOWED = 4  # MB on top; the allocator's steps are smaller


@dataclass
class LeakOptions:
    """Options of this script."""

    epochs: int = option(200, "length of the run", minimum=10)
    workers: int = option(0, "processes that load images", minimum=0)


@dataclass
class Footprint(Hook):
    """Reads what this process holds after each epoch: [resident bytes, open files, threads]."""

    rows: list[tuple[int, int, int]] = field(default_factory=list)

    def after_validation(self, run: Run) -> None:
        """Add the epoch."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(os.listdir("/proc/self/fd"))
        self.rows.append((pages * os.sysconf("SC_PAGESIZE"), files, threading.active_count()))

    def growth(self, first: int) -> tuple[float, int, int]:
        """Return (MB, files, threads) that the last epoch has more than epoch `first`."""
        memory, files, threads = (now - then for now, then in zip(self.rows[-1], self.rows[first], strict=True))
        return memory / 1e6, files, threads


def watched(folder: Path, epochs: int, workers: int) -> Footprint:
    """Return the Footprint of a training in a folder."""
    data = draw_shapes(folder / "shapes", train=8, val=4, imgsz=64)
    rows = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text()) | {"width_multiple": 0.125}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(rows))
    paths = {"cfg": str(folder / "tiny.yaml"), "data": str(data), "project": str(folder / "runs")}
    footprint = Footprint()
    options = TrainOptions(
        weights="", imgsz=64, batch_size=4, epochs=epochs, workers=workers, device="cpu", patience=0, **paths
    )
    train(options, hooks=[footprint], quiet=True)
    return footprint


def main(options: LeakOptions) -> None:
    """Train and print."""
    with tempfile.TemporaryDirectory() as folder:
        footprint = watched(Path(folder), options.epochs, options.workers)
    print(f"{'epoch':>6}{'MB':>10}{'files':>8}{'threads':>9}")
    for epoch in range(0, options.epochs, max(options.epochs // ROWS, 1)):
        memory, files, threads = footprint.rows[epoch]
        print(f"{epoch:>6}{memory / 1e6:>10.1f}{files:>8}{threads:>9}")
    first = options.epochs // 10
    memory, files, threads = footprint.growth(first)
    print(f"from epoch {first} to {options.epochs - 1}: {memory:+.1f} MB, {files:+} files, {threads:+} threads")
    if memory > ALLOWED or files > 0 or threads > 0:
        sys.exit("it grows")


if __name__ == "__main__":
    run(LeakOptions, main, "Watch what a long training holds.")
