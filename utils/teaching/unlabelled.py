"""Images without labels that join the batches: only a teacher judges them."""

from typing import Any

import torch

from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.files.hyp import load_hyp
from utils.teaching.options import TeachingOptions
from utils.training.loaders import worker_count
from utils.training.loop import Hook
from utils.training.options import LARGEST_SEED
from utils.training.run import Run


class UnlabelledImages(Hook):
    """Joins to each batch as many images without labels, augmented like the others.

    Each epoch draws anew from all of them. Seed, epoch and index fix all that is drawn: a resumed run sees the same.
    """

    def __init__(self, samples: Any, options: TeachingOptions) -> None:
        """samples: list of utils.data.labels.Sample; options: TrainOptions."""
        self.samples, self.options, self.hyp = samples, options, load_hyp(options.hyp)

    def start(self, run: Run) -> None:
        """Build the loader: at least as many batches as that of the labelled images has."""
        needed = run.schedule.batches * run.schedule.batch_size
        samples = self.samples * -(-needed // len(self.samples))  # repeated ones are augmented differently
        workers, processes = worker_count(self.options, run.processes), run.processes
        seed = (
            run.settings.seed + LARGEST_SEED + 1
        )  # not the numbers that labelled images are drawn with in this or another run
        dataset = DetectionDataset(
            samples,
            run.settings.imgsz,
            hyp=self.hyp,
            cache=self.options.cache,
            seed=seed,
            workers=max(workers, 1),
            progress=processes.main,
            once=processes.once_a_machine,
        )
        self.loader = make_loader(
            dataset,
            run.schedule.batch_size // processes.world_size,
            workers,
            shuffle=True,
            seed=seed,
            rank=processes.rank,
            world_size=processes.world_size,
            quad=self.options.quad,
            pin_memory=run.device.type == "cuda",
        )

    def before_epoch(self, run: Run) -> None:
        """Begin the epoch's drawing."""
        dataset: Any = self.loader.dataset
        dataset.set_epoch(run.epoch)
        order: Any = self.loader.batch_sampler
        order.first = run.first_batch
        self.batches: Any = iter(self.loader)

    def more_images(self, run: Run) -> torch.Tensor | None:
        """Return the next images."""
        return next(self.batches)[0]

    def after_epoch(self, run: Run) -> None:
        """End the processes that load."""
        self.batches = None
