"""Whether mixed precision is faster on this processor (--amp auto): some have units for bfloat16, others emulate it."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from models.cost import count_gflops
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.atomic import write_atomically
from utils.files.paths import cache_folder
from utils.training.machine.processor import processor

STEP = 8.0  # billions of operations of a step that is timed; a run with smaller steps is over soon anyway
PASSES = 3  # forward, and twice as much backward
ROUNDS = 3
LIMIT = 2.0  # seconds after which no further round begins
GAIN = 1.1  # times as fast that bfloat16 must be


def faster_in_bfloat16(
    model: DetectionModel,
    imgsz: int,
    batch_size: int,
    folder: Path | None = None,
    gain: Callable[..., float] | None = None,
) -> tuple[bool, str] | None:
    """Return (whether to train in bfloat16, a line that says why); None where nothing is to be gained.

    That is for steps that are too small to matter, and where PyTorch has no bfloat16 for the processor. What was
    measured is remembered in `folder`, by default the user's cache folder, for the processor and the network.

    gain: measures how many times as fast bfloat16 is; bfloat16_gain by default.
    """
    work = PASSES * count_gflops(model, imgsz, model.yaml["ch"])
    if work * batch_size < STEP or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    file, key = (folder or cache_folder()) / "precision.json", machine_key(model)
    known = remembered(file)
    found = known.get(key)
    how = "measured earlier" if found else "measured"
    if not found:
        size, count = trial_size(model, imgsz, batch_size, work)
        found = known[key] = round((gain or bfloat16_gain)(model, size, count), 2)
        with suppress(OSError, InputError):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(known, indent=1).encode(), durable=False)
    name = "bfloat16" if found >= GAIN else "float32"
    return found >= GAIN, f"precision: {name}, because bfloat16 is {found:g} times as fast on this processor ({how})"


def trial_size(model: DetectionModel, imgsz: int, batch_size: int, work: float) -> tuple[int, int]:
    """Return (side of the images in pixels, images) of a step of about STEP; work: that of an image of imgsz pixels."""
    stride = model.size_multiple
    side = int(imgsz * min((STEP / work) ** 0.5, 1.0)) // stride * stride
    return max(side, 2 * stride), max(min(int(STEP / work), batch_size), 1)


def bfloat16_gain(model: DetectionModel, size: int, count: int) -> float:
    """Return how many times as fast training steps in bfloat16 are as those in float32, by the processor's time.

    Both take turns, in one thread, because threads that wait for each other take time too. They see `count` images of
    `size` pixels. The model is left as it is.
    """
    model = deepcopy(model).cpu().to(memory_format=torch.channels_last).train().requires_grad_(True)
    images = torch.rand(count, model.yaml["ch"], size, size, generator=torch.Generator().manual_seed(0))
    images = images.to(memory_format=torch.channels_last)
    best = {True: float("inf"), False: float("inf")}
    start = time.monotonic()
    with torch.random.fork_rng(devices=[]), one_thread():
        for number in range(ROUNDS + 1):
            for mixed in best:
                spent = step_time(model, images, mixed)
                best[mixed] = min(best[mixed], spent) if number else best[mixed]  # the first is a warm-up
            if number and time.monotonic() - start > LIMIT:
                break
    return best[False] / best[True]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def step_time(model: Any, images: torch.Tensor, mixed: bool) -> float:
    """Return the processor's seconds of a forward and a backward pass."""
    before = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        raw = model(images)
    sum(y.float().square().mean() for y in raw).backward()
    model.zero_grad(set_to_none=True)
    return time.process_time() - before


def machine_key(model: DetectionModel) -> str:
    """Return what a measurement holds for: processor, version of PyTorch, and the shapes of a network."""
    shapes = str([tuple(parameter.shape) for parameter in model.parameters()])
    digest = hashlib.sha256(shapes.encode()).hexdigest()[:16]
    return f"{processor()}, PyTorch {torch.__version__}, network {digest}"


def remembered(file: Path) -> dict[str, float]:
    """Return what was measured before; nothing where the file is absent or damaged."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    kept = known.items() if isinstance(known, dict) else ()
    return {key: value for key, value in kept if isinstance(value, float) and 0 < value < float("inf")}
