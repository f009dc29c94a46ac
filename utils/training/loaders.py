"""The images of a training run."""

import os
from typing import Any

from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.data.splits import load_split
from utils.training.distributed import ProcessGroup

VAL_BATCH = 2  # times the training batch: without gradients there is room for more
VAL_PAD = 0.5  # strides of border around validation images, as val.py has them


def worker_count(options: Any, processes: ProcessGroup) -> int:
    """Return how many processes load images for one training process."""
    return min((os.cpu_count() or 1) // processes.world_size, options.workers)


def make_loaders(plan: Any, stride: int) -> tuple[Any, Any]:
    """Return (training loader, validation loader, None except in rank 0) of a utils.training.train.Plan.

    stride: the largest of the model. Raises InputError for bad data.
    """
    options, processes = plan.options, plan.processes
    workers = worker_count(options, processes)
    shared = {
        "stride": stride,
        "seed": options.seed,
        "single_cls": options.single_cls,
        "workers": max(workers, 1),
        "progress": processes.main and not plan.quiet,
    }
    with processes.main_first():
        splits = {
            split: load_split(plan.config, split, max(workers, 1), shared["progress"]) for split in ("train", "val")
        }
    for split, (_, counts) in splits.items():
        plan.say(f"{split}: {counts}")
    dataset = DetectionDataset(
        splits["train"][0],
        options.imgsz,
        hyp=plan.hyp,
        rect=options.rect,
        cache=options.cache,
        batch_size=plan.local_batch,
        **shared,
    )
    pin = plan.device.type == "cuda"
    loader = make_loader(
        dataset,
        plan.local_batch,
        workers,
        shuffle=True,
        seed=options.seed,
        rank=processes.rank,
        world_size=processes.world_size,
        quad=options.quad,
        pin_memory=pin,
    )
    if not processes.main:
        return loader, None
    batch = plan.local_batch * VAL_BATCH
    dataset = DetectionDataset(
        splits["val"][0],
        options.imgsz,
        rect=True,
        pad=VAL_PAD,
        batch_size=batch,
        cache=None if options.noval else options.cache,
        **shared,
    )
    return loader, make_loader(dataset, batch, workers, pin_memory=pin)
