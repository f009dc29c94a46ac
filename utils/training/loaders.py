"""The images of a training run."""

import os
from typing import Any

from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.data.samples import Samples
from utils.data.splits import load_split
from utils.data.steady import SteadyLoader
from utils.training.distributed import ProcessGroup
from utils.training.options import TrainOptions
from utils.training.plan import Plan

VAL_BATCH = 2  # times the training batch: without gradients there is room for more
VAL_PAD = 0.5  # strides of border around validation images, as val.py has them


def worker_count(options: TrainOptions, processes: ProcessGroup) -> int:
    """Return how many processes load images for one training process."""
    return min((os.cpu_count() or 1) // processes.world_size, options.workers)


def scan_splits(plan: Plan) -> dict[str, Samples]:
    """Return {"train": Samples, "val": Samples}, without "val" where the data has none; rank 0 scans first.

    Raises InputError for bad data.
    """
    shared = shared_options(plan)
    splits = {}
    with plan.processes.main_first():
        for split in ("train", "val") if plan.validates else ("train",):
            splits[split] = load_split(plan.config, split, shared["workers"], shared["progress"])
    for split, (_, counts) in splits.items():
        plan.say(f"{split}: {counts}")
    samples = {split: found for split, (found, _) in splits.items()}
    for line in split_notes(plan, samples):
        plan.say(line)
    return samples


def split_notes(plan: Plan, splits: dict[str, Samples]) -> list[str]:
    """Return what the Samples of the splits mean for the run, where that is not as usual."""
    notes, train = [], splits["train"]
    if not plan.validates:
        notes.append(f"{plan.config.file}: no val images; the run trains without validating and ends with last.pt")
    if not len(train.labels.values):
        notes.append("train: no object in any image; the network learns to find nothing")
    paths = set(train.paths)
    shared = sum(path in paths for path in splits["val"].paths) if "val" in splits else 0
    if shared:
        notes.append(f"val: {shared} of its images are in train too; mAP on them does not tell how new ones fare")
    return notes


def shared_options(plan: Plan) -> dict[str, Any]:
    """Return what the data sets of both loaders are built with."""
    return {
        "seed": plan.options.seed,
        "single_cls": plan.options.single_cls,
        "workers": max(worker_count(plan.options, plan.processes), 1),
        "progress": plan.processes.main and not plan.quiet,
    }


def training_loader(plan: Plan, samples: Samples, stride: int) -> SteadyLoader:
    """Return the loader of this process's share of the training images; stride: the largest of the model."""
    options = plan.options
    dataset = DetectionDataset(
        samples,
        options.imgsz,
        hyp=plan.hyp,
        rect=options.rect,
        cache=options.cache,
        batch_size=plan.local_batch,
        stride=stride,
        once=plan.processes.once_a_machine,
        **shared_options(plan),
    )
    return make_loader(
        dataset,
        plan.local_batch,
        worker_count(options, plan.processes),
        shuffle=True,
        seed=options.seed,
        rank=plan.processes.rank,
        world_size=plan.processes.world_size,
        quad=options.quad,
        pin_memory=plan.device.type == "cuda",
    )


def validation_loader(plan: Plan, samples: Samples, stride: int) -> SteadyLoader:
    """Return the loader of this process's share of the validation images; stride: the largest of the model."""
    batch = plan.local_batch * VAL_BATCH
    dataset = DetectionDataset(
        samples,
        plan.options.imgsz,
        rect=True,
        pad=VAL_PAD,
        batch_size=batch,
        share=(plan.processes.rank, plan.processes.world_size),
        cache=None if plan.options.noval else plan.options.cache,
        stride=stride,
        **shared_options(plan),
    )
    workers = worker_count(plan.options, plan.processes)
    return make_loader(dataset, batch, workers, pin_memory=plan.device.type == "cuda")
