"""Are the numbers of a validation the same on a busy machine?

    python benchmarks/busy.py --weights best.pt --data yours.yaml

Validates with 0 and 2 workers: once on the machine as it is, and --rounds times while several processes for each
core count as fast as they can. Prints the mAP of each round; it must not differ in any bit.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch  # noqa: E402

from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.config import load_data  # noqa: E402
from utils.files.checkpoint import load_checkpoint  # noqa: E402
from utils.validation.measure import validate  # noqa: E402

BURN = "while True: pass"
WORKERS = (0, 2)


@dataclass
class BusyOptions:
    """Options of this script."""

    weights: str = option("best.pt", "checkpoint")
    data: str = option("data.yaml", "data yaml")
    imgsz: int = option(640, "longest side of the images in pixels", minimum=32)
    rounds: int = option(3, "validations on the busy machine", minimum=1)
    load: int = option(4, "processes for each core", minimum=1)


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Keep so many processes busy while the body runs."""
    processes = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def numbers(model: Any, config: Any, imgsz: int, workers: int) -> list[Any]:
    """Return all that a validation of a DetectionModel measures but its speed."""
    found = validate(
        model, config, device=torch.device("cpu"), imgsz=imgsz, batch_size=4, workers=workers, progress=False
    )
    means = [found.precision, found.recall, found.map50, found.map]
    return [means, found.per_class, found.scores.ap.tolist()]


def main(options: BusyOptions) -> None:
    """Validate, print and compare."""
    model, config = load_checkpoint(options.weights).model, load_data(options.data)
    quiet = {workers: numbers(model, config, options.imgsz, workers) for workers in WORKERS}
    with burning(options.load * (os.cpu_count() or 1)):
        busy = [
            (workers, numbers(model, config, options.imgsz, workers))
            for _ in range(options.rounds)
            for workers in WORKERS
        ]
    for workers, found in [*quiet.items(), *busy]:
        print(f"{workers} workers: mAP50-95 {found[0][3]!r}")
    differing = sum(found != quiet[0] for _, found in [*quiet.items(), *busy])
    print(f"{len(busy)} busy rounds, {differing} differ")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    run(BusyOptions, main, "Validate on a busy machine.")
