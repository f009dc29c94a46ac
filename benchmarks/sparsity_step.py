"""What sparse training adds to a training step: python benchmarks/sparsity_step.py [--imgsz 320 --batch-size 16].

The ways take turns within one run, so that they are compared under the same conditions.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402  (the path comes first)
import torch  # noqa: E402

from benchmarks.timing.rows import Row, command, table  # noqa: E402
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

SCRIPT = "benchmarks/sparsity_step.py"
STEPS = 10**6  # of the run that the measured steps are of
PHASES = {"scoring": 0.0, "fading": 0.45, "faded": 0.9}  # of --sr auto, and how much of the run is done in each


@dataclass
class BenchmarkOptions:
    """Options of this benchmark."""

    cfg: str = option("yolov5n.yaml", "network in models/")
    imgsz: int = option(320, "side of the images in pixels", minimum=64)
    batch_size: int = option(16, "images in a step", minimum=1)
    rounds: int = option(10, "steps of each way", minimum=1)


def begin(options):
    """Return (state of a training, images of its steps)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = DetectionModel(ROOT / "models" / options.cfg).train().to(memory_format=torch.channels_last)
    images = torch.rand(options.batch_size, 3, options.imgsz, options.imgsz).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, "SGD", 1e-4, 0.9, 0.0)
    group = {"ema": ModelEMA(model), "step": 0, "total_steps": STEPS, "processes": ProcessGroup()}
    return SimpleNamespace(model=model, optimizer=optimizer, lr=1e-4, **group), images


def step(state, images, hook):
    """Do a step with a hook; return (CPU seconds of network and gradients, of optimizer and hook)."""
    start = time.process_time()
    sum(raw.square().mean() for raw in state.model(images)).backward()
    spent = time.process_time()
    hook.before_step(state)
    state.optimizer.step()
    hook.after_step(state)
    state.optimizer.zero_grad()
    return spent - start, time.process_time() - spent


def rows(options):
    """Return the row of each penalty: the median step and what its hook adds in each round, against that step alone."""
    state, images = begin(options)
    hooks = {"none": Hook(), **{f"--sr, {penalty}": GammaPenalty(0.005, penalty) for penalty in PENALTIES}}
    hooks |= {f"--sr auto, {phase}": FadeOut(Goal("channels", 0.5)) for phase in PHASES}
    steps = {f"--sr auto, {phase}": round(share * STEPS) for phase, share in PHASES.items()}
    spent = {name: [] for name in hooks}
    for hook in hooks.values():
        hook.prepare(state.model)
        hook.start(state)
    for _ in range(options.rounds):
        for name, hook in hooks.items():
            state.step = steps.get(name, 0)
            spent[name].append(step(state, images, hook))
    network = np.median([first for first, _ in spent["none"]])
    times = {name: [1000 * (network + second) for _, second in found] for name, found in spent.items()}
    plain = times.pop("none")
    return [Row(f"a step with {name}", "CPU ms", found, plain, "without a penalty") for name, found in times.items()]


def main(options):
    """Print the table."""
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(BenchmarkOptions, main, __doc__)
