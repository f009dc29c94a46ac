"""Photos read from folders and from tars: python benchmarks/shards.py --photos FOLDER.

FOLDER holds images/ and labels/; they are copied until there are FEW of them, then written as tars. Each way is
scanned without a cache and with one, then its photos are read and decoded in a drawn order. CPU seconds of one thread.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.scan import FEW, copies  # noqa: E402  (the path comes first)
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.config import load_data  # noqa: E402
from utils.data.images import read_image  # noqa: E402
from utils.data.shards.options import ShardsOptions  # noqa: E402
from utils.data.shards.places import located  # noqa: E402
from utils.data.shards.write import make_shards  # noqa: E402
from utils.data.splits import load_split  # noqa: E402
from utils.training.machine.processor import processor  # noqa: E402


@dataclass
class ShardsTimeOptions:
    """Options of this benchmark."""

    photos: str = option("../shared/data/bccd", "folder with images/ and labels/")
    nc: int = option(3, "classes of its labels")
    each: int = option(250, "photos in a tar")
    rounds: int = option(3, "times that each way is measured, in turns")
    seed: int = option(0, "start of the order")


def cpu(work) -> float:
    """Return the CPU seconds that a call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(data: Path, seed: int) -> list[float]:
    """Return ms a photo: scanned, scanned from the cache, read, read and decoded."""
    for file in data.parent.rglob("*.npz"):
        file.unlink()
    scans = [cpu(lambda: load_split(load_data(data), "train", progress=False)) for _ in range(2)]
    paths = list(load_split(load_data(data), "train", progress=False)[0].paths)
    order = np.random.default_rng(seed).permutation(len(paths))
    read = cpu(lambda: [located(paths[index]).read() for index in order])
    decoded = cpu(lambda: [read_image(paths[index]) for index in order])
    return [1000 * seconds / len(paths) for seconds in (*scans, read, decoded)]


def main(options: ShardsTimeOptions) -> None:
    """Print the table."""
    print(f"{processor()}; {FEW} photos, {options.each} in a tar, medians of {options.rounds}\n")
    print("| CPU ms a photo | first scan | scan from its cache | read | read and decoded |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "folder"
        copies(Path(options.photos), folder)
        files = {"folders": folder / "data.yaml", "tars": Path(work) / "tars" / "data.yaml"}
        files["folders"].write_text(f"train: images\nnc: {options.nc}\n")
        make_shards(ShardsOptions(str(files["folders"]), str(files["tars"].parent), options.each))
        rows: dict[str, list] = {way: [] for way in files}
        for _ in range(options.rounds):
            for way, file in files.items():
                rows[way].append(measure(file, options.seed))
    for way, found in rows.items():
        print(f"| {way} | {' | '.join(f'{value:.3f}' for value in np.median(found, 0))} |")


if __name__ == "__main__":
    run(ShardsTimeOptions, main, __doc__)
