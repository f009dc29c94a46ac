"""What pruning costs on few photos: the three commands with their defaults beside dense controls of as many epochs.

One control is trained by the defaults of train.py, the other with --optimizer auto, as the cut networks are.

    python benchmarks/few_photos.py --data bccd.yaml --weights yolov5n.pt --photos 120 --left 0.5 0.33 0.2 --seeds 0 1 2
    python make_shapes.py --out shapes && python benchmarks/few_photos.py --data shapes/shapes.yaml --imgsz 160 …

Photos are drawn from the training split by seed 0; the validation split measures, and chooses no epoch. What lies in
--out from an earlier start is not trained again. "sparse" has its channels at zero, so cutting them changes nothing.

With torch-pruning installed (pip install torch-pruning), the dense network cut by it stands beside: every layer by the
same ratio, then fine-tuned here without a teacher, for as many epochs as sparse training and fine-tuning take together.
--slim adds slim.py with the goal alone. It chooses epochs by the validation split, so its numbers are a little high.
"""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.photos.peer import cut_evenly  # noqa: E402  (the path comes first)
from benchmarks.photos.rows import CONTROL, HEAD, Row, summary  # noqa: E402
from benchmarks.photos.subset import subset  # noqa: E402
from models.cost import count_gflops  # noqa: E402
from utils.cli.options import like, option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint  # noqa: E402
from utils.finetuning.finetune import finetune  # noqa: E402
from utils.finetuning.options import FinetuneOptions  # noqa: E402
from utils.pruning.options import PruneOptions  # noqa: E402
from utils.pruning.prune import prune_checkpoint  # noqa: E402
from utils.runtimes.packages import has  # noqa: E402
from utils.slimming.options import SlimOptions  # noqa: E402
from utils.slimming.slim import BEST, slim  # noqa: E402
from utils.slimming.state import FILE, read_state  # noqa: E402
from utils.sparsity.options import SparsityOptions  # noqa: E402
from utils.sparsity.train_sparsity import train_sparsity  # noqa: E402
from utils.teaching.options import NONE  # noqa: E402
from utils.training.options import TrainOptions  # noqa: E402
from utils.training.train import train  # noqa: E402

FINAL = "final.json"
PEER = "torch_pruning"
CONTROLS = {CONTROL: "SGD", "control-small-steps": "auto"}  # as train.py trains; with the steps of the cut networks


@dataclass
class BenchmarkOptions:
    """Options of this benchmark."""

    data: str = option("bccd.yaml", "data yaml")
    weights: str = option("yolov5n.pt", "checkpoint that the dense network starts from")
    photos: int = option(0, "training photos to take; 0: all", minimum=0)
    classes: list[int] = option(
        [], "classes to take, by number; all if not given. Training photos without any of them are left out", nargs="+"
    )
    left: list[float] = option([0.5, 0.33, 0.2], "shares of the FLOPs that stay", nargs="+")
    seeds: list[int] = option([0], "seeds; with several a table of means and ranges follows", nargs="+", minimum=0)
    epochs: int = option(60, "epochs of each training", minimum=1)
    imgsz: int = option(320, "side of the images in pixels", minimum=32)
    batch_size: int = option(16, "images in a batch", minimum=1)
    hyp: str = like(TrainOptions, "hyp")
    slim: bool = option(False, "slim.py too, with as many epochs in each of its trainings")
    out: str = option("runs/few-photos", "folder of the runs")


def main(options: BenchmarkOptions) -> None:
    """Train and cut, and print the tables."""
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    shared = {
        "data": str(subset(options.data, options.photos, options.classes, out)),
        "imgsz": options.imgsz,
        "batch_size": options.batch_size,
        "workers": 0,
        "cache": "ram",
        "hyp": options.hyp,
        "project": str(out),
    }
    if not has(PEER):
        print("no rows of torch-pruning: pip install torch-pruning")
    print(HEAD, flush=True)
    rows = []
    for seed in options.seeds:
        for row in Trials(options, out, seed, shared | {"seed": seed}).rows():
            print(row, flush=True)
            rows.append(row)
    if len(options.seeds) > 1:
        print(f"\n{summary(rows)}", flush=True)


@dataclass
class Trials:
    """The networks of one seed: trained where that is not done yet, and measured."""

    options: BenchmarkOptions
    out: Path
    seed: int
    shared: dict[str, Any]  # options of all commands

    def rows(self) -> Iterator[Row]:
        """Yield the rows: dense, the controls, and for every share what is made of the dense network."""
        once = self.options.epochs
        dense = self.trained(train, TrainOptions, "dense", self.options.weights, once)
        yield self.row("dense", once, dense, dense)
        for name, optimizer in CONTROLS.items():
            control = self.trained(train, TrainOptions, name, dense, 2 * once, optimizer=optimizer)
            yield self.row(name, 3 * once, control, dense)
        for left in self.options.left:
            yield from self.cut_rows(f"{left:.0%}", left, dense)

    def cut_rows(self, share: str, left: float, dense: Path) -> Iterator[Row]:
        """Yield the rows of one share of the FLOPs."""
        once, tune = self.options.epochs, partial(self.trained, finetune, FinetuneOptions)
        goal = {"st": True, "sr": "auto", "target_flops": left}
        sparse = self.trained(train_sparsity, SparsityOptions, f"{share}-sparse", dense, once, **goal)
        narrow = self.pruned(share, left, sparse)
        yield self.row(f"{share}-sparse", 2 * once, sparse, dense, narrow)
        tuned = tune(f"{share}-fine-tuned", narrow, once)
        yield self.row(f"{share}-fine-tuned", 3 * once, tuned, dense)
        if has(PEER):
            narrow = self.cut_by_peer(f"{share}-torch-pruning", left, dense)
            tuned = tune(f"{share}-torch-pruning-fine-tuned", narrow, 2 * once, teacher=NONE)
            yield self.row(f"{share}-torch-pruning-fine-tuned", 3 * once, tuned, dense)
        if self.options.slim:
            yield self.slim_row(f"{share}-slim", left, dense)

    def trained(self, function: Any, kind: Any, name: str, weights: Path | str, epochs: int, **given: Any) -> Path:
        """Train unless that is done; return the checkpoint to use."""
        folder = self.out / f"{name}-{self.seed}"
        if not (folder / FINAL).is_file():
            given |= {"name": folder.name, "exist_ok": True, "noval": True, "noplots": True, **self.shared}
            with redirect_stdout(io.StringIO()):
                function(kind(weights=str(weights), epochs=epochs, **given))
        return folder / "weights" / read_final(folder)["weights"]

    def pruned(self, name: str, left: float, sparse: Path) -> Path:
        """Cut a checkpoint as prune.py does unless that is done; return the file."""
        file = self.out / f"{name}-{self.seed}.pt"
        if not file.is_file():
            some = {key: self.shared[key] for key in ("data", "imgsz", "workers")}
            with redirect_stdout(io.StringIO()):
                prune_checkpoint(PruneOptions(weights=str(sparse), flops=left, noval=True, out=str(file), **some))
        return file

    def cut_by_peer(self, name: str, left: float, dense: Path) -> Path:
        """Cut a checkpoint as torch-pruning does unless that is done; return the file."""
        file = self.out / f"{name}-{self.seed}.pt"
        if not file.is_file():
            narrow = cut_evenly(import_module(PEER), load_checkpoint(dense).network, left, self.options.imgsz)
            save_checkpoint(file, finished_content(narrow))
        return file

    def row(self, name: str, epochs: int, file: Path, dense: Path, narrow: Path | None = None) -> Row:
        """Return the Row of a training. file: what it ended with; narrow: what was cut from that."""
        found = read_final(file.parent.parent)
        return Row(self.seed, name, epochs, self.left(narrow or file, dense), found["map50"], found["map"])

    def left(self, file: Path, dense: Path) -> float:
        """Return the share of the dense network's FLOPs that the network of a checkpoint has."""
        narrow, whole = (load_checkpoint(each).network for each in (file, dense))
        size = whole.fitting_size(self.options.imgsz)
        return count_gflops(narrow, size) / count_gflops(whole, size)

    def slim_row(self, name: str, left: float, dense: Path) -> Row:
        """Return the row of slim.py, which goes on where it was stopped."""
        folder, once = self.out / f"{name}-{self.seed}", self.options.epochs
        if not (folder / FILE).is_file() or not read_state(folder / FILE).finished:
            given = {"weights": [str(dense)], "flops": left, "epochs": once, "name": folder.name, **self.shared}
            with redirect_stdout(io.StringIO()):
                slim(SlimOptions(**given), reports=False)
        state = read_state(folder / FILE)
        found, epochs = state.networks[-1], once + 2 * once * len(state.steps)
        return Row(self.seed, name, epochs, self.left(folder / BEST, dense), found.map50, found.map)


def read_final(folder: Path) -> dict[str, Any]:
    """Return what a training found at its end."""
    return json.loads((folder / FINAL).read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(BenchmarkOptions, main, __doc__)
