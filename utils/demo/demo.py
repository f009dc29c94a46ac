"""The whole loop on drawn images: train, sparse-train, prune, fine-tune, and a dense control for as many epochs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from models.cost import count_gflops, count_parameters
from utils.benchmark.latency import measure_latency
from utils.data.config import load_data, split_images
from utils.data.images import read_image
from utils.data.shapes import draw_shapes
from utils.demo.options import DemoOptions
from utils.demo.summary import save_summary
from utils.detection.detect import Detector
from utils.files.atomic import write_atomically
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import free_name
from utils.finetuning.finetune import finetune
from utils.finetuning.options import FinetuneOptions
from utils.pruning.options import PruneOptions
from utils.pruning.prune import prune_checkpoint
from utils.pruning.scores.parameters import ChannelParameters
from utils.sparsity.options import SparsityOptions
from utils.sparsity.train_sparsity import train_sparsity
from utils.training.options import TrainOptions
from utils.training.train import train
from utils.validation.measure import validate

SAMPLES = 4  # images in the picture
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Stage:
    """One row of the final table."""

    stage: str
    map50: float
    map: float
    parameters: int
    gflops: float
    bytes: int
    ms_per_image: float


def run_demo(options: DemoOptions) -> list[Stage]:
    """Run all stages, print the table, write summary.json and summary.png; return the list of Stages."""
    out = Path(options.out)
    if out.exists():
        kept = free_name(out)
        out.rename(kept)
        print(f"{out} existed; it is kept as {kept}")
    train_images, val_images = options.images
    data = draw_shapes(out / "shapes", train=train_images, val=val_images, imgsz=options.imgsz, seed=options.seed)
    files, cut = run_stages(options, out, str(data))
    stages = measure_stages(options, files, load_data(data))
    print("\n" + format_stages(stages))
    summary = json.dumps({"stages": [asdict(stage) for stage in stages]}, indent=2)
    write_atomically(out / "summary.json", summary.encode())
    draw_summary(out / "summary.png", files, cut, load_data(data), options.imgsz)
    print(f"\n{out / 'summary.json'}, {out / 'summary.png'}")
    return stages


def run_stages(options: DemoOptions, out: Path, data: str) -> tuple[dict[str, Path], Any]:
    """Train, sparse-train, prune, fine-tune and train the control; return ({stage: checkpoint}, Cut)."""
    first, second, third = options.epochs
    common: dict[str, Any] = {
        "data": data,
        "imgsz": options.imgsz,
        "batch_size": options.batch_size,
        "workers": options.workers,
        "cache": "ram",
        "hyp": "hyp.shapes.yaml",
        "noplots": True,
        "project": str(out),
        "seed": options.seed,
        "device": "cpu",
    }
    dense_common = {**common, "optimizer": "AdamW"}  # train.py has SGD: these are too few steps for it
    say(f"1/5 dense: {options.cfg} from scratch, {first} epochs")
    dense = train(TrainOptions(weights="", cfg=options.cfg, epochs=first, name="dense", **dense_common)).folder.best
    say(f"2/5 sparse: the {options.percent:.0%} of the channels that matter least fade to zero, {second} epochs")
    goal: dict[str, Any] = {"st": True, "sr": "auto", "target": options.percent}
    sparse_options = SparsityOptions(weights=str(dense), epochs=second, name="sparse", **goal, **common)
    sparse = train_sparsity(sparse_options).folder.last
    say(f"3/5 pruned: {options.percent:.0%} of the channels go")
    pruned = out / "pruned_model.pt"
    cut = prune_checkpoint(
        PruneOptions(
            weights=str(sparse),
            percent=options.percent,
            data=data,
            out=str(pruned),
            imgsz=options.imgsz,
            device="cpu",
            workers=options.workers,
        )
    )
    say(f"4/5 fine-tuned: {third} epochs")
    finetune_options = FinetuneOptions(weights=str(pruned), epochs=third, name="finetuned", **common)
    finetuned = finetune(finetune_options).folder.best
    say(f"5/5 control: the dense network for {second + third} epochs more, as many in all")
    control = train(TrainOptions(weights=str(dense), epochs=second + third, name="control", **dense_common)).folder.best
    return {"dense": dense, "sparse": sparse, "pruned": pruned, "finetuned": finetuned, "control": control}, cut


def say(text: str) -> None:
    """Print the headline of a stage."""
    tqdm.write(f"\n{text}")


def measure_stages(options: DemoOptions, files: dict[str, Path], config: Any) -> list[Stage]:
    """Return the Stages of {stage: checkpoint}: accuracy on the validation images, size, and time with one thread."""
    models = {name: load_checkpoint(file).model for name, file in files.items()}
    times = measure_latency(models, options.imgsz, rounds=options.rounds)
    stages = []
    for name, model in models.items():
        result = validate(model, config, device=CPU, imgsz=options.imgsz, workers=options.workers, progress=False)
        size = (count_parameters(model), count_gflops(model, options.imgsz), files[name].stat().st_size)
        stages.append(Stage(name, result.map50, result.map, *size, times[name]))
    return stages


def format_stages(stages: list[Stage]) -> str:
    """Return the table of the stages."""
    lines = [f"{'stage':<10}{'mAP50':>8}{'mAP50-95':>10}{'parameters':>12}{'GFLOPs':>8}{'file MB':>9}{'ms/image':>10}"]
    for s in stages:
        lines.append(
            f"{s.stage:<10}{s.map50:8.3f}{s.map:10.3f}{s.parameters:12,}{s.gflops:8.3f}{s.bytes / 1e6:9.2f}"
            f"{s.ms_per_image:10.2f}"
        )
    return "\n".join(lines)


def draw_summary(file: Path, files: dict[str, Path], cut: Any, config: Any, imgsz: int) -> None:
    """Write the picture: channels, gammas, and detections of the control and the fine-tuned network side by side."""
    gammas = []
    for stage in ("dense", "sparse"):
        parameters = ChannelParameters(load_checkpoint(files[stage]).model, cut.graph)
        gammas.append(parameters.gamma[parameters.free].numpy())
    pictures = (read_image(path) for path in split_images(config, "val")[:SAMPLES])
    images = [picture for picture in pictures if picture is not None]
    found = []
    for stage in ("control", "finetuned"):
        detector = Detector(load_checkpoint(files[stage]).model, CPU, (imgsz, imgsz), conf=0.25, iou=0.45)
        found.append([detector(image) for image in images])
    save_summary(file, cut, gammas, (images, *found), config.names)
