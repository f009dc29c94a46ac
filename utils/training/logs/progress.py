"""The lines of a run on the terminal."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tqdm import tqdm

from utils.progress import Progress
from utils.training.loop import Hook, Run

WIDTHS = {
    "epoch": 9,
    "box": 10,
    "obj": 10,
    "cls": 10,
    "instances": 11,
    "size": 7,
    "mAP50": 9,
    "mAP50-95": 10,
    "time": 9,
}
HEAD = "".join(f"{name:>{width}}" for name, width in WIDTHS.items())
BAR = "{desc} {n_fmt}/{total_fmt} {bar:8} {remaining}{postfix}"


def reserved_memory(device: torch.device) -> int | None:
    """Return the bytes of a GPU that this process holds; None where nobody counts."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else None


class ProgressHook(Hook):
    """Shows one line an epoch: a bar on a terminal, plain text otherwise; and how long the run still takes."""

    def __init__(
        self,
        stream: Any = None,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[torch.device], int | None] = reserved_memory,
    ) -> None:
        """Choose where to write.

        Args:
            stream: default: standard error for the bar, standard output for text.
            clock: returns seconds.
            memory: device → bytes in use, or None for no such column.
        """
        self.clock, self.memory = clock, memory
        self.bar: Progress | None = None
        self.terminal = (stream or sys.stderr).isatty()
        self.stream = stream

    def start(self, run: Run) -> None:
        """Write the head."""
        batches = run.schedule.batches
        self.whole = Progress(
            "training",
            run.epochs * batches,
            "batches",
            done=run.epoch * batches,
            shown=not self.terminal,
            stream=self.stream,
            clock=self.clock,
        )
        if not self.terminal:
            print(self.head(run), file=self.stream, flush=True)

    def before_epoch(self, run: Run) -> None:
        """Open the bar."""
        self.began = self.clock()
        if self.bar is not None:  # of an epoch that begins anew
            self.bar.close()
        if self.terminal:
            tqdm.write(self.head(run), file=self.stream)
            self.bar = Progress("", run.schedule.batches, leave=True, bar_format=BAR, stream=self.stream)

    def after_batch(self, run: Run, images: torch.Tensor, targets: torch.Tensor, paths: Sequence[str]) -> None:
        """Move the bar."""
        self.whole.what = f"training, epoch {run.epoch}/{run.epochs - 1}"
        self.whole.update()
        if self.bar is not None:
            left = self.whole.seconds_left()
            self.bar.what, self.bar.note = self.line(run), "" if left is None else f"run {tqdm.format_interval(left)}"
            self.bar.update()

    def after_validation(self, run: Run) -> None:
        """Complete the line."""
        if run.evaluation is not None:
            self.whole.note = f"mAP50-95 {run.evaluation.map:.3f}"
        line = self.line(run, run.evaluation)
        if self.bar is None:
            print(line, file=self.stream, flush=True)
            return
        self.bar.what, self.bar.note = line, ""
        self.bar.describe()
        self.bar.close()
        self.bar = None

    def head(self, run: Run) -> str:
        """Return the names of the columns."""
        return HEAD + ("" if self.memory(run.device) is None else f"{'GPU GB':>9}")

    def line(self, run: Run, evaluation: Any = None) -> str:
        """Return the text of an epoch; the mAPs are - until it is validated."""
        losses = "".join(f"{value:10.4g}" for value in run.losses.tolist())
        scores = f"{'-':>9}{'-':>10}" if evaluation is None else f"{evaluation.map50:9.3g}{evaluation.map:10.3g}"
        batch = f"{run.batch.instances:11}{run.batch.size:7}"
        seconds = f"{self.clock() - self.began:.1f}s"
        used = self.memory(run.device)
        memory = "" if used is None else f"{used / 1e9:9.2f}"
        return f"{f'{run.epoch}/{run.epochs - 1}':>9}{losses}{batch}{scores}{seconds:>9}{memory}"
