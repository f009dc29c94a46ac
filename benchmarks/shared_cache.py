"""Memory that `--cache ram` takes in all processes of a machine: python benchmarks/shared_cache.py.

torchrun starts the processes, each with its workers, as a training has them. When a process has its second batch, every
worker has looked at photos; then the proportional set size (PSS) of all is added up: each page counts once in the sum.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.cli.options import option  # noqa: E402  (the path comes first)
from utils.cli.start import run  # noqa: E402  (the path comes first)

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
    cache = None if way == "none" else "ram"
    dataset = DetectionDataset(samples, imgsz, cache=cache, progress=False, **more)
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


def measure(data: Path, options: SharedCacheOptions, processes: int, way: str) -> float:
    """Return the MB of all processes; way: none, own or shared."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    part = data.with_name("part.py")
    part.write_text(PART)
    words = [*torchrun, part, data, options.imgsz, options.workers, way]
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


def main(options: SharedCacheOptions) -> None:
    """Print the table."""
    pixels = options.photos * options.imgsz**2 * 3 / 2**20
    print(f"{options.photos} photos of {options.imgsz} px, {pixels:.0f} MB of pixels, {options.workers} workers each\n")
    print("| processes | no cache, MB | a cache in each, MB | one cache, MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        data = Path(work) / "data.yaml"
        data.write_text("train: images\nnc: 1\n")
        for kind in ("images", "labels"):
            (Path(work) / kind).mkdir()
        for index in range(options.photos):
            image = np.full((options.imgsz, options.imgsz, 3), index % 256, np.uint8)
            cv2.imwrite(f"{work}/images/{index}.jpg", image)
            (Path(work) / f"labels/{index}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        for processes in map(int, options.processes.split(",")):
            sizes = [measure(data, options, processes, way) for way in ("none", "own", "shared")]
            print(f"| {processes} | {' | '.join(f'{size:.0f}' for size in sizes)} |", flush=True)


if __name__ == "__main__":
    run(SharedCacheOptions, main, __doc__)
