"""Photos read from folders and from tars: python benchmarks/shards.py [--photos FOLDER].

FOLDER holds images/ and labels/; they are copied until there are --number of them, then written as tars. Without it
shapes are drawn. Each way is scanned without a cache and with one, then its photos are read and decoded in a drawn
order. CPU seconds of one thread.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.scan import ScanOptions, copies  # noqa: E402  (the path comes first)
from benchmarks.timing.rows import Row, command, computing, in_turns, table  # noqa: E402
from utils.cli.options import like, option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.config import load_data  # noqa: E402
from utils.data.images import read_image  # noqa: E402
from utils.data.shards.options import ShardsOptions  # noqa: E402
from utils.data.shards.places import located  # noqa: E402
from utils.data.shards.write import make_shards  # noqa: E402
from utils.data.splits import load_split  # noqa: E402

SCRIPT = "benchmarks/shards.py"
STEPS = "the first scan", "a later scan", "read", "read and decoded"


@dataclass
class ShardsTimeOptions:
    """Options of this benchmark."""

    photos: str = like(ScanOptions, "photos")
    nc: int = like(ScanOptions, "nc")
    number: int = option(1000, "photos", minimum=1)
    each: int = option(250, "photos in a tar")
    rounds: int = option(3, "times that each way is measured, in turns")
    seed: int = option(0, "start of the order")


def measure(data: Path, seed: int) -> list[float]:
    """Return ms a photo: scanned, scanned from the cache, read, read and decoded."""
    for file in data.parent.rglob("*.npz"):
        file.unlink()
    scans = [computing(lambda: load_split(load_data(data), "train", progress=False)) for _ in range(2)]
    paths = list(load_split(load_data(data), "train", progress=False)[0].paths)
    order = np.random.default_rng(seed).permutation(len(paths))
    read = computing(lambda: [located(paths[index]).read() for index in order])
    decoded = computing(lambda: [read_image(paths[index]) for index in order])
    return [1000 * seconds / len(paths) for seconds in (*scans, read, decoded)]


def rows(options: ShardsTimeOptions) -> list[Row]:
    """Return the rows of all steps."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "folder"
        copies(options.photos, folder, options.number)
        files = folder / "data.yaml", Path(work) / "tars" / "data.yaml"
        files[0].write_text(f"train: images\nnc: {options.nc}\n")
        make_shards(ShardsOptions(str(files[0]), str(files[1].parent), options.each))
        found = in_turns(options.rounds, *(lambda file=file: measure(file, options.seed) for file in files))
    folders, tars = (np.transpose(each).tolist() for each in found)
    ways = zip(STEPS, tars, folders, strict=True)
    return [Row(f"tars, {step}", "CPU ms a photo", here, other, "files in folders") for step, here, other in ways]


def main(options: ShardsTimeOptions) -> None:
    """Print the table."""
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(ShardsTimeOptions, main, __doc__)
