"""Fine-tuning: training that keeps the network as it was cut, with a teacher if one is given."""

from collections.abc import Callable
from typing import Any

import torch

from models.cost import count_parameters
from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.data.unlabelled import scan_unlabelled
from utils.errors import blaming
from utils.files.checkpoint import load_checkpoint
from utils.files.downloads import find_weights
from utils.files.hyp import load_hyp
from utils.finetuning.comparison import Outlook, WorstPhotos
from utils.finetuning.distillation import Distillation
from utils.finetuning.options import FinetuneOptions
from utils.training.distributed import process_group
from utils.training.loaders import worker_count
from utils.training.loop import Hook
from utils.training.options import LARGEST_SEED
from utils.training.run import Run
from utils.training.train import train


def finetune(options: FinetuneOptions) -> Run:
    """Train a detector, its widths as they are, as FinetuneOptions say; return the Run.

    A network that was cut to some of the classes keeps them; for other classes Detect starts anew.

    Raises what train raises.
    """
    return train(options, make_hooks=finetuning_hooks, keep_classes=True)


def finetuning_hooks(options: FinetuneOptions, say: Callable[[str], None]) -> list[Hook]:
    """Return the hooks of finetune_pruned.py: those of distillation_hooks, and what compares with the teacher."""
    hooks = distillation_hooks(options, say)
    teacher = next((hook.teacher for hook in hooks if isinstance(hook, Distillation)), None)
    compared = [WorstPhotos(options)] if options.teacher and not options.noplots else []
    return [*hooks, Outlook(teacher), *compared]


def distillation_hooks(options: FinetuneOptions, say: Callable[[str], None] = print) -> list[Hook]:
    """Return the hooks that FinetuneOptions ask for, none without a teacher; `say` gets a line about each.

    Raises InputError when the teacher's file or the folder of images is of no use.
    """
    if not options.teacher:
        return []
    with blaming("--teacher"):
        file = find_weights(options.teacher)
        checkpoint = load_checkpoint(file)
    teacher = checkpoint.network
    say(f"teacher: {file}, {count_parameters(teacher):,} parameters")
    gains = options.distill_output, options.distill_feature
    hooks: list[Hook] = [Distillation(teacher, f"--teacher {file}", *gains, say)]
    if options.unlabelled:
        processes = process_group()
        with blaming("--unlabelled"):
            samples, broken = scan_unlabelled(
                options.unlabelled, max(worker_count(options, processes), 1), processes.main
            )
        say(f"unlabelled: {len(samples)} images, {broken} corrupt")
        hooks.append(UnlabelledImages(samples, options))
    return hooks


class UnlabelledImages(Hook):
    """Joins to each batch as many images without labels, augmented like the others.

    Each epoch draws anew from all of them. Seed, epoch and index fix all that is drawn: a resumed run sees the same.
    """

    def __init__(self, samples: Any, options: FinetuneOptions) -> None:
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
