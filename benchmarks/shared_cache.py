"""Memory that `--cache ram` takes in all processes of a machine: python benchmarks/shared_cache.py.

torchrun starts the processes, each with its workers, as a training has them. When a process has its second batch, every
worker has looked at photos; then the proportional set size (PSS) of all is added up: each page counts once in the sum.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing.rows import Row, command, in_turns, table  # noqa: E402  (the path comes first)
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402

SCRIPT = "benchmarks/shared_cache.py"

PART = """
import os, sys
from pathlib import Path
import torch
from utils.data.config import load_data
from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.data.splits import load_split
from utils.training.distributed import connected, process_group
data, imgsz, workers, way = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
group = process_group()
def pss(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
def wait():
    group.broadcast(None)
    group.average(torch.zeros(1))
with connected(group, torch.device("cpu")):
    samples, _ = load_split(load_data(data), "train", progress=False)
    more = {"once": group.once_a_machine} if way == "shared" else {}
    dataset = DetectionDataset(samples, imgsz, cache="ram", progress=False, **more)
    loader = make_loader(dataset, 8, workers, rank=group.rank, world_size=group.world_size)
    for number, _ in enumerate(loader):
        if number == len(loader) // 2:
            wait()
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            total = torch.tensor(float(sum(map(pss, ["self", *children]))))
            wait()
    total = group.average(total) * group.world_size
    if group.main:
        print(f"{float(total):.0f}")
"""


@dataclass
class SharedCacheOptions:
    """Options of this benchmark."""

    photos: int = option(500, "photos to draw")
    imgsz: int = option(640, "their side in pixels")
    processes: str = option("1,2,4", "how many processes torchrun starts")
    workers: int = option(2, "workers of each")
    rounds: int = option(2, "times that each is measured, in turns", minimum=1)


def measure(data: Path, options: SharedCacheOptions, processes: int, way: str) -> float:
    """Return the MB of all processes; way: own or shared."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    part = data.with_name("part.py")
    part.write_text(PART)
    words = [*torchrun, part, data, options.imgsz, options.workers, way]
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


def draw(folder: Path, options: SharedCacheOptions) -> Path:
    """Fill a folder with grey photos and a label for each; return the data yaml."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for index in range(options.photos):
        image = np.full((options.imgsz, options.imgsz, 3), index % 256, np.uint8)
        cv2.imwrite(f"{folder}/images/{index}.jpg", image)
        (folder / f"labels/{index}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    data = folder / "data.yaml"
    data.write_text("train: images\nnc: 1\n")
    return data


def rows(options: SharedCacheOptions) -> list[Row]:
    """Return a row for each number of processes."""
    found = []
    with tempfile.TemporaryDirectory() as work:
        data = draw(Path(work), options)
        for number in map(int, options.processes.split(",")):
            calls = (partial(measure, data, options, number, way) for way in ("shared", "own"))
            here, reference = in_turns(options.rounds, *calls)
            name = f"--cache ram, {number} process{'es' * (number > 1)} of {options.workers} workers"
            found.append(Row(name, "MB in all", here, reference, "a copy in each"))
    return found


def main(options: SharedCacheOptions) -> None:
    """Print the table."""
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(SharedCacheOptions, main, __doc__)
