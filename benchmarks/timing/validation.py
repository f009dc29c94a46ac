"""val.py as a whole command against the reference: python benchmarks/timing/validation.py --data data.yaml.

Both validate the same images on one thread, from the start of Python to the last picture.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.timing.rows import Row, command, in_turns, of_command, table  # noqa: E402  (the path comes first)
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.files.paths import ROOT  # noqa: E402

SCRIPT = "benchmarks/timing/validation.py"


@dataclass
class ValidationTimeOptions:
    """Options of this benchmark."""

    weights: str = option("yolov5n.pt", "checkpoint")
    data: str = option("data/coco128.yaml", "data yaml, of which the validation images are used")
    imgsz: int = option(640, "longest side of the images in pixels", minimum=32)
    batch_size: int = option(16, "images in a batch", minimum=1)
    rounds: int = option(3, "times that each is measured, in turns", minimum=1)


def rows(options: ValidationTimeOptions) -> list[Row]:
    """Return the row of the whole command."""
    with tempfile.TemporaryDirectory() as work:
        common = ["--weights", options.weights, "--data", options.data, "--imgsz", options.imgsz]
        common += ["--batch-size", options.batch_size, "--project", work]
        own = [sys.executable, ROOT / "val.py", *common, "--workers", 0, "--device", "cpu"]
        other = [sys.executable, ROOT / "benchmarks/timing/reference_validation.py", *common]
        here, reference = in_turns(
            options.rounds, *(lambda words=words: of_command(list(map(str, words))) for words in (own, other))
        )
    return [Row("val.py, the whole command", "CPU s", here, reference, "reference_validation.py")]


def main(options: ValidationTimeOptions) -> None:
    """Print the table."""
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(ValidationTimeOptions, main, __doc__)
