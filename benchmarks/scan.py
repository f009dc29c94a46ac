"""Time of the scan of a data set: python benchmarks/scan.py [--photos FOLDER].

FOLDER holds images/ and labels/, of which the cold scan is timed for each photo; photos and labels are copied until
there are --number of them. Without it shapes are drawn. The warm scan, from its cache, is timed on sets of generated
entries: one small photo and one label file each.
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

from benchmarks.timing.rows import Row, command, in_turns, table  # noqa: E402  (the path comes first)
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.shapes import NAMES, draw_shapes  # noqa: E402

SCRIPT = "benchmarks/scan.py"
DRAWN, SIDE = 100, 480  # most shapes that are drawn for the photos, and their side in pixels
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

    photos: str = option("", "folder with images/ and labels/ (default: drawn shapes)")
    nc: int = option(len(NAMES), "classes of its labels")
    number: int = option(1000, "photos of a first scan", minimum=1)
    sizes: str = option("1000,10000,100000", "generated entries of the warm scan")
    rounds: int = option(3, "times that each is measured, in turns", minimum=1)
    work: str = option("", "where to generate them (default: the system's folder for temporary files)")


def measure(folder: Path, nc: int, way: str = "heads", cold: bool = False) -> tuple[int, float, float, float, float]:
    """Return (images, seconds, CPU seconds, MB of the scan, MB in all) of a scan in a process of its own.

    cold: remove what earlier scans have kept.
    """
    for file in folder.rglob("*.npz") if cold else ():
        file.unlink()
    data = folder / "data.yaml"
    data.write_text(f"path: {folder}\ntrain: images\nnc: {nc}\n")
    command = [sys.executable, "-c", SCAN, str(Path(__file__).resolve().parent.parent), str(data), way]
    return tuple(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout))


def copies(source: str, folder: Path, number: int) -> None:
    """Fill a folder with photos and labels of another, copied as often as needed; without a source with drawn ones."""
    source = source or draw_shapes(folder / "drawn", min(DRAWN, number), 1, SIDE).parent
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    photos = sorted(path for path in (Path(source) / "images").rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    for index in range(number):
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


def cold_row(options: ScanOptions) -> Row:
    """Return the row of the first scan of photos."""
    ways = "heads", "decode"
    with tempfile.TemporaryDirectory(dir=options.work or None) as work:
        copies(options.photos, Path(work), options.number)
        calls = (lambda way=way: 1000 * measure(Path(work), options.nc, way, True)[2] / options.number for way in ways)
        here, reference = in_turns(options.rounds, *calls)
    return Row("the first scan, heads and ends of the photos", "CPU ms a photo", here, reference, "all decoded")


def warm_row(options: ScanOptions, number: int) -> Row:
    """Return the row of a later scan of so many generated entries."""
    with tempfile.TemporaryDirectory(dir=options.work or None) as work:
        generate(Path(work), number, small_photo())
        calls = (lambda cold=cold: measure(Path(work), 1, cold=cold)[2] for cold in (True, False))
        reference, here = in_turns(options.rounds, *calls)
    return Row(f"a later scan, {number:,} images", "CPU s", here, reference, "the first scan")


def small_photo() -> bytes:
    """Return a JPEG of 48 x 64 pixels."""
    return cv2.imencode(".jpg", np.full((48, 64, 3), 99, np.uint8))[1].tobytes()


def rows(options: ScanOptions) -> list[Row]:
    """Return the rows of the first scan and of later ones."""
    return [cold_row(options), *(warm_row(options, number) for number in map(int, options.sizes.split(",")))]


def main(options: ScanOptions) -> None:
    """Print the table."""
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(ScanOptions, main, __doc__)
