"""Time and memory of the scan of a data set: python benchmarks/scan.py --photos FOLDER.

FOLDER holds images/ and labels/, of which the cold scan is timed for each photo; photos and labels are copied until
there are COPIES of them. The warm scan, from its cache, is timed on sets of generated entries: one small photo and one
label file each. Memory is what a fresh process takes for the scan beyond its imports.
"""

import json
import os
import shutil
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
from utils.training.machine.processor import processor  # noqa: E402

FEW = 1000  # photos of a cold scan
ROW = b"0 0.5 0.5 0.25 0.25\n"
SCAN = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from utils.data.config import LabelRules, load_data
from utils.data.splits import load_split
config = load_data(sys.argv[2], LabelRules(check_photos=sys.argv[3] == "decode"))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start, cpu = peak(), time.perf_counter(), time.process_time()
samples, _ = load_split(config, "train", 1, progress=False)
print(json.dumps([len(samples), time.perf_counter() - start, time.process_time() - cpu, peak() - before, peak()]))
"""


@dataclass
class ScanOptions:
    """Options of this benchmark."""

    photos: str = option("../shared/data/bccd", "folder with images/ and labels/")
    nc: int = option(3, "classes of its labels")
    sizes: str = option("1000,10000,100000", "generated entries of the warm scan")
    work: str = option("", "where to generate them (default: the system's folder for temporary files)")


def measure(folder: Path, nc: int, way: str = "heads") -> tuple[int, float, float, float, float]:
    """Return (images, seconds, CPU seconds, MB of the scan, MB in all) of a scan in a process of its own."""
    data = folder / "data.yaml"
    data.write_text(f"path: {folder}\ntrain: images\nnc: {nc}\n")
    command = [sys.executable, "-c", SCAN, str(Path(__file__).resolve().parent.parent), str(data), way]
    return tuple(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout))


def copies(source: Path, folder: Path) -> None:
    """Fill a folder with FEW photos and labels of another, copied as often as needed."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    photos = sorted(path for path in (source / "images").rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    for index in range(FEW):
        photo = photos[index % len(photos)]
        label = Path(str(photo).replace("/images/", "/labels/")).with_suffix(".txt")
        shutil.copy(photo, folder / "images" / f"{index}{photo.suffix}")
        if label.is_file():
            shutil.copy(label, folder / "labels" / f"{index}.txt")


def generate(folder: Path, number: int, photo: bytes) -> None:
    """Fill a folder with a number of photos and label files, by links to one of each in 10,000."""
    for index in range(number):
        for kind, suffix, content in (("images", ".jpg", photo), ("labels", ".txt", ROW)):
            place = folder / kind / f"{index // 10000:03}"
            if index % 10000:
                os.link(f"{place}/{index // 10000 * 10000:07}{suffix}", f"{place}/{index:07}{suffix}")
            else:
                place.mkdir(parents=True)
                (place / f"{index:07}{suffix}").write_bytes(content)


def main(options: ScanOptions) -> None:
    """Print both tables."""
    print(f"{processor()}, {os.cpu_count()} cores\n\n| cold scan | ms a photo | CPU ms a photo |\n|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.work or None) as work:
        copies(Path(options.photos), Path(work))
        for way, words in (("decode", "every photo decoded"), ("heads", "heads and ends")):
            number, seconds, cpu, _, _ = measure(Path(work), options.nc, way)
            print(f"| {words} | {1000 * seconds / number:.2f} | {1000 * cpu / number:.2f} |", flush=True)
    photo = cv2.imencode(".jpg", np.full((48, 64, 3), 99, np.uint8))[1].tobytes()
    print("\n| images | cold s (CPU) | warm s (CPU) | MB of the warm scan | MB in all |\n|---|---|---|---|---|")
    for number in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory(dir=options.work or None) as work:
            generate(Path(work), number, photo)
            cold, warm = measure(Path(work), 1), measure(Path(work), 1)
            times = [f"{seconds:.2f} ({cpu:.2f})" for _, seconds, cpu, _, _ in (cold, warm)]
            print(f"| {number:,} | {times[0]} | {times[1]} | {warm[3]:.0f} | {warm[4]:.0f} |", flush=True)


if __name__ == "__main__":
    run(ScanOptions, main, __doc__)
