"""What sparse training adds to a training step: python benchmarks/sparsity_step.py [--imgsz 320 --batch-size 16].

The ways take turns within one run, so that they are compared under the same conditions.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch  # noqa: E402  (the path comes first)

from models.yolo import DetectionModel  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.files.paths import ROOT  # noqa: E402
from utils.sparsity.fading import FadeOut  # noqa: E402
from utils.sparsity.goal import Goal  # noqa: E402
from utils.sparsity.penalties import GammaPenalty  # noqa: E402
from utils.sparsity.schedules import PENALTIES  # noqa: E402
from utils.training.distributed import ProcessGroup  # noqa: E402
from utils.training.loop import Hook  # noqa: E402
from utils.training.optim import ModelEMA, build_optimizer  # noqa: E402

STEPS = 10**6  # of the run that the measured steps are of
PHASES = {"scoring": 0.0, "fading": 0.45, "faded": 0.9}  # of --sr auto, and how much of the run is done in each


@dataclass
class BenchmarkOptions:
    """Options of this benchmark."""

    cfg: str = option("yolov5n.yaml", "network in models/")
    imgsz: int = option(320, "side of the images in pixels", minimum=64)
    batch_size: int = option(16, "images in a step", minimum=1)
    rounds: int = option(10, "steps of each way", minimum=1)


def main(options):
    """Time whole steps (forward, backward, optimizer, hook) and the hook alone."""
    torch.manual_seed(0)
    model = DetectionModel(ROOT / "models" / options.cfg).train().to(memory_format=torch.channels_last)
    images = torch.rand(options.batch_size, 3, options.imgsz, options.imgsz).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, "SGD", 1e-4, 0.9, 0.0)
    state = SimpleNamespace(
        model=model,
        optimizer=optimizer,
        lr=1e-4,
        ema=ModelEMA(model),
        step=0,
        total_steps=STEPS,
        processes=ProcessGroup(),
    )
    hooks = {"none": Hook(), **{f"--sr, {penalty}": GammaPenalty(0.005, penalty) for penalty in PENALTIES}}
    hooks |= {f"--sr auto, {phase}": FadeOut(Goal("channels", 0.5)) for phase in PHASES}
    steps = {f"--sr auto, {phase}": round(share * STEPS) for phase, share in PHASES.items()}
    whole, alone = ({name: [] for name in hooks} for _ in range(2))
    for hook in hooks.values():
        hook.prepare(model)
        hook.start(state)
    for _ in range(options.rounds):
        for name, hook in hooks.items():
            state.step = steps.get(name, 0)
            start = time.perf_counter()
            sum(raw.square().mean() for raw in model(images)).backward()
            spent = time.perf_counter()
            hook.before_step(state)
            optimizer.step()
            hook.after_step(state)
            optimizer.zero_grad()
            stop = time.perf_counter()
            whole[name].append(stop - start)
            alone[name].append(stop - spent)
    base = statistics.median(alone["none"])
    for name in hooks:
        step, extra = statistics.median(whole[name]), statistics.median(alone[name]) - base
        print(f"{name:<20}{step * 1000:8.1f} ms a step, {extra * 1000:6.2f} ms for the penalty: {extra / step:7.2%}")


if __name__ == "__main__":
    run(BenchmarkOptions, main, __doc__)
