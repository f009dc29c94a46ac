"""Validate yolov5n.pt as the public code was run, and print both numbers: python benchmarks/parity.py --folder DATA.

DATA holds weights/yolov5n.pt (the public file) and coco128/ with images and labels of train2017 and val2017 (128 each)
and annotations/instances_train2017.json. Public numbers: the public val.py on the same files, NMS without its time
limit.
"""

import contextlib
import io
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.cli.options import option  # noqa: E402  (the path comes first)
from utils.cli.start import run  # noqa: E402  (the path comes first)
from utils.validation.options import ValidationOptions  # noqa: E402
from utils.validation.predictions import coco_average_precision  # noqa: E402
from utils.validation.val import validate_checkpoint  # noqa: E402

SETTINGS = (  # images, flags, the public P, R, mAP50, mAP50-95
    ("val2017", {"batch_size": 16}, (0.554, 0.480, 0.526, 0.343)),
    ("val2017", {"batch_size": 1}, (0.560, 0.506, 0.532, 0.346)),
    ("val2017", {"batch_size": 16, "augment": True}, (0.680, 0.470, 0.541, 0.362)),
    ("val2017", {"batch_size": 16, "single_cls": True}, (0.662, 0.523, 0.584, 0.340)),
    ("train2017", {"batch_size": 16, "save_json": True}, (0.586, 0.508, 0.568, 0.365)),
    ("train2017", {"batch_size": 32, "imgsz": 512}, (0.686, 0.437, 0.523, 0.340)),
    ("val2017", {"batch_size": 16, "sparsity": 0.1}, (0.670, 0.403, 0.510, 0.332)),
    ("val2017", {"batch_size": 16, "sparsity": 0.3}, (0.597, 0.150, 0.211, 0.119)),
    ("val2017", {"batch_size": 16, "sparsity": 0.5}, (0.006, 0.029, 0.007, 0.004)),
)
COCO = (0.370, 0.576, 0.363, 0.534)  # pycocotools on the public predictions for train2017: AP, AP50, AP75, AR100
COCO_PLACES = (0, 1, 2, 8)  # of these among its twelve numbers


@dataclass
class ParityOptions:
    """Options of this benchmark."""

    folder: str = option("data", "folder with weights/ and coco128/")


def flags(settings):
    """Return settings of ValidationOptions as they are typed."""
    words = {name.replace("_", "-"): value for name, value in {"imgsz": 640, **settings}.items()}
    return " ".join(f"--{name}" if value is True else f"--{name} {value}" for name, value in words.items())


def row(images, settings, public, ours):
    """Print one row of the table."""
    cells = [" / ".join(f"{value:.3f}" for value in values) for values in (public, ours)]
    largest = max(abs(a - b) for a, b in zip(public, ours))
    print(f"| {images} | `{settings}` | {cells[0]} | {cells[1]} | {largest:.4f} |", flush=True)


def main(options):
    """Print the table."""
    folder = Path(options.folder).resolve()
    annotations = folder / "coco128/annotations/instances_train2017.json"
    names = [category["name"] for category in json.loads(annotations.read_text())["categories"]]
    print(
        "| coco128 images | flags | public P / R / mAP50 / mAP50-95 | ours | largest difference |\n"
        "|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as work:
        for images, settings, public in SETTINGS:
            data = Path(work) / f"{images}.yaml"
            data.write_text(
                yaml.safe_dump({"path": str(folder / "coco128"), "val": f"images/{images}", "names": names})
            )
            with contextlib.redirect_stdout(io.StringIO()):
                found = validate_checkpoint(
                    ValidationOptions(
                        data=str(data),
                        weights=str(folder / "weights/yolov5n.pt"),
                        device="cpu",
                        workers=2,
                        project=work,
                        name="exp",
                        exist_ok=True,
                        **settings,
                    )
                )
            row(images, flags(settings), public, (found.precision, found.recall, found.map50, found.map))
        results = Path(work) / "exp/yolov5n_predictions.json"
        seen = {result["image_id"] for result in json.loads(results.read_text())}
        with contextlib.redirect_stdout(io.StringIO()):
            numbers = coco_average_precision(annotations, results, seen)
    row("train2017, pycocotools", "AP / AP50 / AP75 / AR100", COCO, [numbers[i] for i in COCO_PLACES])


if __name__ == "__main__":
    run(ParityOptions, main, __doc__)
