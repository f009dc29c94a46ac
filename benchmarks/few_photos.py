"""What pruning costs on few photos: the three commands with their defaults beside a dense control of as many epochs.

python benchmarks/few_photos.py --data bccd.yaml --weights yolov5n.pt --photos 120 --left 0.5 0.33 0.2 --seeds 0 1 2
Photos are drawn from the training split by seed 0; the validation split measures, and chooses no epoch. What lies in
--out from an earlier start is not trained again.
"""

import io
import json
import random
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.cli.options import option  # noqa: E402  (the path comes first)
from utils.cli.start import run  # noqa: E402
from utils.data.config import load_data  # noqa: E402
from utils.data.splits import load_split  # noqa: E402
from utils.finetuning.finetune import finetune  # noqa: E402
from utils.finetuning.options import FinetuneOptions  # noqa: E402
from utils.pruning.options import PruneOptions  # noqa: E402
from utils.pruning.prune import prune_checkpoint  # noqa: E402
from utils.sparsity.options import SparsityOptions  # noqa: E402
from utils.sparsity.train_sparsity import train_sparsity  # noqa: E402
from utils.training.options import TrainOptions  # noqa: E402
from utils.training.train import train  # noqa: E402

FINAL = "final.json"


@dataclass
class BenchmarkOptions:
    """Options of this benchmark."""

    data: str = option("bccd.yaml", "data yaml")
    weights: str = option("yolov5n.pt", "checkpoint that the dense network starts from")
    photos: int = option(0, "training photos to take; 0: all", minimum=0)
    left: list[float] = option([0.5, 0.33, 0.2], "shares of the FLOPs that stay", nargs="+")
    seeds: list[int] = option([0], "seeds", nargs="+", minimum=0)
    epochs: int = option(60, "epochs of each training", minimum=1)
    imgsz: int = option(320, "side of the images in pixels", minimum=32)
    batch_size: int = option(16, "images in a batch", minimum=1)
    out: str = option("runs/few-photos", "folder of the runs")


def main(options: BenchmarkOptions) -> None:
    """Train and cut, and print the table."""
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    shared = {
        "data": str(subset(options, out)),
        "imgsz": options.imgsz,
        "batch_size": options.batch_size,
        "workers": 0,
        "cache": "ram",
        "noval": True,
        "noplots": True,
        "project": str(out),
        "exist_ok": True,
    }
    print("| seed | network | mAP50 / mAP50-95 |\n|--:|---|--:|", flush=True)
    for seed in options.seeds:
        measure_seed(options, out, shared | {"seed": seed})


def subset(options: BenchmarkOptions, out: Path) -> Path:
    """Write the list of training photos and a data yaml with it; return the yaml."""
    config = load_data(options.data)
    samples, _ = load_split(config, "train", 1, progress=False)
    photos = sorted(str(Path(sample.path).absolute()) for sample in samples)
    random.Random(0).shuffle(photos)
    listed, file = out / "train.txt", out / "data.yaml"
    listed.write_text("\n".join(photos[: options.photos or None]) + "\n", encoding="utf-8")
    content = {
        "train": str(listed.absolute()),
        "val": [str(config.place(entry).absolute()) for entry in config.val or ()],
        "names": config.names,
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def measure_seed(options: BenchmarkOptions, out: Path, shared: dict[str, Any]) -> None:
    """Print the rows of one seed: dense, the control, and every share after the cut and fine-tuned."""
    seed, epochs = shared["seed"], options.epochs
    dense = trained(train, TrainOptions, out, f"dense-{seed}", weights=options.weights, epochs=epochs, **shared)
    trained(train, TrainOptions, out, f"control-{seed}", weights=dense, epochs=2 * epochs, **shared)
    for left in options.left:
        goal: dict[str, Any] = {"st": True, "sr": "auto", "target_flops": left, "epochs": epochs}
        sparse = trained(
            train_sparsity, SparsityOptions, out, f"{left:.0%}-sparse-{seed}", weights=dense, **goal, **shared
        )
        narrow = out / f"{left:.0%}-{seed}.pt"
        if not narrow.is_file():
            some = {key: shared[key] for key in ("data", "imgsz", "workers")}
            with redirect_stdout(io.StringIO()):
                prune_checkpoint(PruneOptions(weights=str(sparse), flops=left, noval=True, out=str(narrow), **some))
        trained(
            finetune, FinetuneOptions, out, f"{left:.0%}-fine-tuned-{seed}", weights=narrow, epochs=epochs, **shared
        )


def trained(function: Any, kind: Any, out: Path, name: str, weights: Path | str, **given: Any) -> Path:
    """Train unless that is done; print the row; return the checkpoint to use."""
    final = out / name / FINAL
    if not final.is_file():
        with redirect_stdout(io.StringIO()):
            function(kind(name=name, weights=str(weights), **given))
    found = json.loads(final.read_text(encoding="utf-8"))
    print(f"| {given['seed']} | {name.rsplit('-', 1)[0]} | {found['map50']:.3f} / {found['map']:.3f} |", flush=True)
    return out / name / "weights" / found["weights"]


if __name__ == "__main__":
    run(BenchmarkOptions, main, __doc__)
