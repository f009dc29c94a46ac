"""Run all benchmarks of speed and memory and write the tables of docs/PERFORMANCE.md.

    python benchmarks/performance.py --photos bccd --data bccd.yaml --weights yolov5n.pt --val coco128-val2017.yaml

Each benchmark has its table there, between two markers; the rest of the document stays. --only takes some of them,
--quick sizes that end within seconds each and say little. Without data shapes are drawn, without weights the network is
untrained. The processor is busy for about half an hour; nothing else should run beside it.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import average_precision, pruning_time, scan, shards, shared_cache, sparsity_step, training_step  # noqa: E402  (the path comes first)
from benchmarks.small_runs import save_network  # noqa: E402
from benchmarks.timing import growth, start_up, validation  # noqa: E402
from benchmarks.timing.rows import command, table  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data.config import load_data  # noqa: E402
from utils.data.shapes import draw_shapes  # noqa: E402
from utils.data.splits import load_split  # noqa: E402
from utils.errors import InputError  # noqa: E402
from utils.files.atomic import write_atomically  # noqa: E402
from utils.files.paths import ROOT  # noqa: E402
from utils.runtimes.packages import has  # noqa: E402

MODULES: dict[str, Any] = {
    "scan": scan,
    "shared_cache": shared_cache,
    "shards": shards,
    "validation": validation,
    "start_up": start_up,
    "average_precision": average_precision,
    "training_step": training_step,
    "sparsity_step": sparsity_step,
    "pruning_time": pruning_time,
    "growth": growth,
}


@dataclass
class PerformanceOptions:
    """Options of this benchmark."""

    only: list[str] = option(list(MODULES), "benchmarks to run", nargs="+", choices=tuple(MODULES))
    quick: bool = option(False, "tiny sizes, one round")
    photos: str = option("", "folder with images/ and labels/ that is scanned (default: drawn shapes)")
    nc: int = option(3, "classes of its labels")
    data: str = option("", "data yaml that is trained on (default: drawn shapes)")
    val: str = option("", "data yaml that is validated (default: drawn shapes)")
    weights: str = option("", "checkpoint with the classes of --val (default: a small untrained network)")
    document: str = option(str(ROOT / "docs/PERFORMANCE.md"), "document with the markers")
    plot: str = option("", "folder for growth.png")


def settings(options: PerformanceOptions, work: Path) -> dict[str, Any]:
    """Return the options of each benchmark; what is not given is drawn into the folder `work`."""
    drawn = draw_shapes(work / "shapes", 32, 16, 64) if not (options.data and options.val and options.weights) else work
    weights = options.weights or str(work / "small.pt")
    if not options.weights:
        save_network(drawn, Path(weights))
    val = options.val or str(drawn)
    photo = load_split(load_data(val), "val", progress=False)[0].paths[0]
    photos = {"photos": options.photos, "nc": options.nc} if options.photos else {}
    step, small = (64, 4) if options.quick else (320, 16)
    found: dict[str, Any] = {
        "scan": scan.ScanOptions(**photos),
        "shared_cache": shared_cache.SharedCacheOptions(photos=200, processes="1,2"),
        "shards": shards.ShardsTimeOptions(**photos),
        "validation": validation.ValidationTimeOptions(weights, val, imgsz=64 if options.quick else 640),
        "start_up": start_up.StartOptions(weights, photo),
        "average_precision": average_precision.PrecisionOptions(),
        "training_step": training_step.StepOptions(options.data or str(drawn), imgsz=step, images=48, rounds=3),
        "sparsity_step": sparsity_step.BenchmarkOptions(imgsz=step, batch_size=small, rounds=5),
        "pruning_time": pruning_time.BenchmarkOptions(peer=has("torch_pruning")),
        "growth": growth.GrowthOptions(plot=options.plot),
    }
    return {name: replace(each, **QUICK[name]) if options.quick else each for name, each in found.items()}


QUICK: dict[str, dict[str, Any]] = {
    "scan": {"number": 20, "sizes": "30", "rounds": 1},
    "shared_cache": {"photos": 16, "imgsz": 64, "processes": "1", "workers": 1, "rounds": 1},
    "shards": {"number": 20, "each": 10, "rounds": 1},
    "validation": {"rounds": 1},
    "start_up": {"scripts": ["val"], "rounds": 1},
    "average_precision": {"images": 20, "rounds": 1},
    "training_step": {"images": 16, "batch_size": 4, "rounds": 1, "workers": "0"},
    "sparsity_step": {"rounds": 1},
    "pruning_time": {"models": ["n"], "rounds": 1},
    "growth": {"entries": "10,20", "photos": "16,32", "models": ["n", "s"], "rounds": 1},
}


def marked(text: str, name: str, content: str) -> str:
    """Return a text with another content between the two markers of a benchmark. Raises InputError without them."""
    start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(f"no markers {start.strip()} and {end.strip()} in this order")
    return before + start + content + end + after


def filled(document: Path, name: str, content: str) -> str:
    """Return a document with a table in its place. Raises InputError that names it when the markers are missing."""
    try:
        return marked(document.read_text(encoding="utf-8"), name, content)
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"--document {document}: {error}") from None


def write(document: Path, name: str, content: str) -> None:
    """Put a table into the document."""
    write_atomically(document, filled(document, name, content).encode())


def measure(names: Sequence[str], options: dict[str, Any], keep: Callable[[str, str], None]) -> None:
    """Run benchmarks by their names, and hand on the name and table of each as soon as it is there."""
    for name in names:
        module, chosen = MODULES[name], options[name]
        content = table(module.rows(chosen), command(module.SCRIPT, chosen))
        print(f"{name}\n\n{content}\n", flush=True)
        keep(name, content)


def main(options: PerformanceOptions) -> None:
    """Measure, and write each table."""
    document = Path(options.document)
    for name in options.only:  # before anything takes its time
        filled(document, name, "")
    with tempfile.TemporaryDirectory() as work:
        measure(options.only, settings(options, Path(work)), lambda name, text: write(document, name, text))


if __name__ == "__main__":
    run(PerformanceOptions, main, __doc__)
