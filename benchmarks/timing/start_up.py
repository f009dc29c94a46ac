"""How long the scripts take to begin: python benchmarks/timing/start_up.py --weights yolov5n.pt --photo photo.jpg.

For each script --help and a flag that does not exist, then one image, against the time in which PyTorch is imported.
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

SCRIPT = "benchmarks/timing/start_up.py"
SCRIPTS = ("train", "train_sparsity", "prune", "finetune_pruned", "slim", "val", "detect", "export", "benchmark")


@dataclass
class StartOptions:
    """Options of this benchmark."""

    weights: str = option("yolov5n.pt", "checkpoint")
    photo: str = option("docs/demo.jpg", "photo to detect on")
    scripts: list[str] = option(list(SCRIPTS), "scripts of which the start is measured", nargs="+", choices=SCRIPTS)
    rounds: int = option(3, "times that each is measured, in turns", minimum=1)


def rows(options: StartOptions) -> list[Row]:
    """Return the rows of all scripts."""
    ways = {"torch": ([sys.executable, "-c", "import torch"], 0)}
    for script in options.scripts:
        file = str(ROOT / f"{script}.py")
        ways[f"{script}.py --help"] = [sys.executable, file, "--help"], 0
        ways[f"{script}.py with a flag that does not exist"] = [sys.executable, file, "--epoch-s"], 2
    with tempfile.TemporaryDirectory() as work:
        detect = [str(ROOT / "detect.py"), "--weights", options.weights, "--source", options.photo, "--device", "cpu"]
        ways["detect.py on one photo"] = [sys.executable, *detect, "--project", work], 0
        found = in_turns(options.rounds, *(lambda way=way: of_command(*way) for way in ways.values()))
    torch, *own = found
    return [Row(name, "CPU s", here, torch, "import torch") for name, here in zip(list(ways)[1:], own, strict=True)]


def main(options: StartOptions) -> None:
    """Print the table."""
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(StartOptions, main, __doc__)
