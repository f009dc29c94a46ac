"""Epoch time and peak memory with frozen layers: python benchmarks/freezing.py --data DATA [--weights yolov5n.pt].

Runs train.py for a few epochs with each --freeze, in turns; the time is the one that train.py prints, validation
included, and its median leaves out first epochs. Linux and macOS.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.cli.options import option  # noqa: E402  (the path comes first)
from utils.cli.start import run  # noqa: E402  (the path comes first)
from utils.files.paths import ROOT  # noqa: E402

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in what the system counts peak memory in


@dataclass
class FreezingOptions:
    """Options of this benchmark."""

    data: str = option("data/coco128.yaml", "data yaml")
    weights: str = option("yolov5n.pt", "checkpoint to start from")
    imgsz: int = option(320, "side of the images in pixels", minimum=64)
    batch_size: int = option(16, "images in a batch", minimum=1)
    epochs: int = option(3, "epochs of each run; the first is not counted", minimum=2)
    rounds: int = option(2, "runs with each number of frozen layers", minimum=1)
    freeze: list[int] = option([0, 10, 24], "numbers of frozen layers to compare", nargs="+", minimum=0)


def train(options, frozen):
    """Run train.py; return ([seconds of each epoch but the first], peak memory in GB)."""
    words = [
        "--freeze",
        frozen,
        "--data",
        options.data,
        "--weights",
        options.weights,
        "--imgsz",
        options.imgsz,
        "--batch-size",
        options.batch_size,
        "--epochs",
        options.epochs,
        "--cache",
        "--noplots",
        "--workers",
        2,
    ]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, ROOT / "train.py", *words, "--project", folder]
        process = subprocess.Popen([str(word) for word in command], stdout=log)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"train.py --freeze {frozen} failed")
        log.seek(0)
        epochs = [line.split() for line in log if f"/{options.epochs - 1} " in line]
    return [float(cells[-1].removesuffix("s")) for cells in epochs[1:]], usage.ru_maxrss * RSS_UNIT / 1e9


def main(options):
    """Print the table."""
    results = {frozen: ([], []) for frozen in options.freeze}
    for _ in range(options.rounds):
        for frozen, (seconds, memory) in results.items():
            times, peak = train(options, frozen)
            seconds.extend(times)
            memory.append(peak)
    first = statistics.median(next(iter(results.values()))[0])
    print(f"{'--freeze':>8}{'s/epoch':>9}{'ratio':>7}{'peak GB':>9}")
    for frozen, (seconds, memory) in results.items():
        median = statistics.median(seconds)
        print(f"{frozen:8}{median:9.2f}{median / first:7.2f}{max(memory):9.2f}")


if __name__ == "__main__":
    run(FreezingOptions, main, __doc__)
