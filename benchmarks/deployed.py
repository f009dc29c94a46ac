"""What architecture, pruning and eight bits each bring on ONNX Runtime, from a dense detector to the smallest one.

    python benchmarks/deployed.py --weights yolov5s.pt yolov5n.pt pruned.pt --data DATA --imgsz 800,1280

Each checkpoint is exported in float32, the last one in INT8 too. The files take turns on one image of --imgsz; the mAP
is that of the same files, or with --trained of files for another size. Each row is compared with the first and with
the one above.
"""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.benchmark.benchmark import measure_accuracies, measure_speeds  # noqa: E402
from utils.benchmark.options import BenchmarkOptions  # noqa: E402
from utils.cli.device import select_device  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.config import load_data  # noqa: E402  (the path comes first)
from utils.export.export import export  # noqa: E402
from utils.export.options import ExportOptions  # noqa: E402
from utils.files.downloads import find_weights  # noqa: E402


@dataclass
class DeployedOptions:
    """Options of this benchmark."""

    weights: list[str] = option(["yolov5s.pt", "yolov5n.pt"], "checkpoints, the dense one first", nargs="+")
    data: str = option("data/coco128.yaml", "data yaml: mAP on its validation images, INT8 from its training images")
    imgsz: list[str] = option(["800,1280"], "size that is timed: 640, or height,width", nargs=1)
    trained: int = option(0, "side in pixels at which the mAP is measured; 0: at --imgsz", minimum=0)
    rounds: int = option(30, "how often each file runs", minimum=2)


def exported(options, folder, shape):
    """Return the .onnx files of all checkpoints for images of shape (height, width), written below a folder."""
    place = folder / "x".join(map(str, shape))
    place.mkdir()
    files = []
    for number, name in enumerate(options.weights):
        weights = place / f"{number}-{Path(name).stem}.pt"
        shutil.copyfile(find_weights(name), weights)
        for int8 in (False, True) if number == len(options.weights) - 1 else (False,):
            settings = ExportOptions(
                weights=str(weights), include=["onnx"], imgsz=list(shape), int8=int8, data=options.data if int8 else ""
            )
            files.append(export(settings)[0].path)
    return files


def main(options):
    """Print the table."""
    config, cpu = load_data(options.data), select_device("cpu")
    shape = BenchmarkOptions(imgsz=options.imgsz).sizes()[0]
    with tempfile.TemporaryDirectory() as name:
        files = exported(options, Path(name), shape)
        rows = measure_speeds(files, shape, 1, options.rounds, cpu)
        judged = (options.trained,) * 2 if options.trained else shape
        files = files if judged == shape else exported(options, Path(name), judged)
        scores = measure_accuracies({file: config for file in files}, judged, cpu)
    print(f"\n{shape[0]}x{shape[1]}, one thread, {options.rounds} rounds; mAP at {judged[0]}x{judged[1]}")
    print(f"{'file':<24}{'MB':>8}{'smaller':>9}{'ms':>9}{'faster':>9}{'this step':>11}{'mAP50':>8}{'mAP50-95':>10}")
    first = rows[0]
    for before, row, score in zip([first, *rows], rows, scores.values()):
        print(
            f"{Path(row.model).stem:<24}{row.file_bytes / 1e6:8.2f}{first.file_bytes / row.file_bytes:8.1f}x"
            f"{row.ms.median:9.1f}{row.speedup:8.1f}x{row.speedup / before.speedup:10.1f}x"
            f"{score['map50']:8.3f}{score['map']:10.3f}"
        )


if __name__ == "__main__":
    run(DeployedOptions, main, __doc__)
