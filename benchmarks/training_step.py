"""Training against the reference step: python benchmarks/training_step.py --data bccd.yaml --imgsz 320.

Both take turns on the same images, each in a process and one thread of its own. What counts is the processor's time, of
the processes that load images too, so other programs on the machine matter little. A ratio of 1.5 says that the
reference takes 1.5 times as long. With --parts it says where the time of the project's own step goes.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2  # noqa: E402  (the path comes first)
import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.reference_step import ReferenceTraining  # noqa: E402
from benchmarks.timing.rows import Row, command, table  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.data import augment  # noqa: E402
from utils.data.loader import collate  # noqa: E402
from utils.errors import InputError  # noqa: E402
from utils.files.paths import RunFolder  # noqa: E402
from utils.training.loaders import scan_splits, training_loader  # noqa: E402
from utils.training.loop import begin_epoch, notify, prepare, train_epoch  # noqa: E402
from utils.training.machine.heap import kept_memory  # noqa: E402
from utils.training.machine.processor import processor  # noqa: E402
from utils.training.options import TrainOptions  # noqa: E402
from utils.training.plan import make_plan  # noqa: E402
from utils.training.train import build_run, choose_network, fit_sizes  # noqa: E402

SCRIPT = "benchmarks/training_step.py"


@dataclass
class StepOptions:
    """Options of this benchmark."""

    data: str = option("data/shapes.yaml", "data yaml, of which the training images are used")
    cfg: str = option("yolov5n.yaml", "network in models/")
    imgsz: int = option(320, "side of the images in pixels", minimum=64)
    batch_size: int = option(16, "images in a batch", minimum=1)
    images: int = option(64, "images of a round", minimum=1)
    rounds: int = option(5, "rounds of each way, besides one to warm up", minimum=1)
    workers: str = option("0,2", "processes that load images")
    parts: bool = option(False, "say where the time goes instead")


def cpu_time() -> float:
    """Return the seconds of the processor that this process and its ended children took."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


LATE = 10**6  # an epoch behind the warm-up and near the end, where steps are small


class Ours:
    """Epochs as train.py does them."""

    def __init__(self, options: Any, workers: int, folder: str) -> None:
        given = TrainOptions(
            data=options.data,
            weights="",
            cfg=options.cfg,
            imgsz=options.imgsz,
            batch_size=options.batch_size,
            workers=workers,
            device="cpu",
            amp="off",
            epochs=LATE + 1000,
        )
        plan, model = choose_network(make_plan(given, quiet=True), None, True, False)
        self.plan = fit_sizes(plan, model)
        self.samples = scan_splits(self.plan)["train"][: options.images]
        self.loader = training_loader(self.plan, self.samples, model.size_multiple)
        self.run = build_run(self.plan, model, len(self.loader), RunFolder(Path(folder)))
        self.run.epoch = LATE
        self.hooks = kept_memory(self.plan.device)

    def load(self) -> None:
        """Load the images of an epoch, and do nothing with them."""
        self.loader.dataset.set_epoch(self.loader.dataset.epoch + 1)
        for _ in self.loader:
            pass

    def epoch(self) -> None:
        """Train for an epoch; the learning rate is what it is at the end of a run."""
        self.run.epoch += 1
        self.loader.dataset.set_epoch(self.run.epoch)
        begin_epoch(self.run, self.loader)
        notify(self.hooks, "start", self.run)
        train_epoch(self.run, self.run.model, self.loader, self.hooks)


class Measured:
    """A process of its own that trains one way when it is told to, as each program has its memory for itself."""

    def __init__(self, way: str, options: Any, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(way, options, workers, theirs))
        self.process.start()

    def __call__(self, work: str) -> tuple[float, float]:
        """Do "load" or "epoch"; return the processor's milliseconds an image, and the most memory so far in MB.

        Raises InputError when the training could not be built.
        """
        self.pipe.send(work)
        answer = self.pipe.recv()
        if isinstance(answer, InputError):
            raise answer
        return answer

    def end(self) -> None:
        """Let the process end."""
        self.pipe.send("")
        self.process.join()


def serve(way: str, options: Any, workers: int, pipe: Any) -> None:
    """Train as told, in the process of a Measured."""
    multiprocessing.set_start_method("fork", force=True)  # of those that load images, as in a program of its own
    single_thread()
    with tempfile.TemporaryDirectory() as folder:
        try:
            ours = Ours(options, workers, folder)
        except InputError as error:
            return pipe.send(error)
        training: Any = as_reference(ours, options, workers) if way == "reference" else ours
        while work := pipe.recv():
            before = cpu_time()
            getattr(training, work)()
            milliseconds = 1000 * (cpu_time() - before) / len(ours.samples)
            pipe.send((milliseconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def as_reference(ours: Ours, options: Any, workers: int) -> ReferenceTraining:
    """Return the reference's training of the same network on the same images."""
    model = ours.run.ema.model.requires_grad_(True)
    return ReferenceTraining(model, ours.samples, ours.plan.hyp, options.imgsz, options.batch_size, workers)


def compare(options: Any, workers: int) -> list[Row]:
    """Return the rows of a number of workers: processor's time, and the peak memory so far."""
    ways, found = [Measured(way, options, workers) for way in ("here", "reference")], []
    for work, words in (("load", "loading alone"), ("epoch", "training")):
        rounds = [[way(work) for way in ways] for _ in range(options.rounds + 1)][1:]  # the first is a warm-up
        for unit, place in (("CPU ms an image", 0), ("MB at most", 1)):
            here, reference = ([each[way][place] for each in rounds] for way in (0, 1))
            found.append(Row(f"{words}, workers {workers}", unit, here, reference, "reference_step.py"))
    for way in ways:
        way.end()
    return found


class Clock:
    """Sums up the processor's time of named parts."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[..., Any], *args: Any) -> Any:
        """Return what work(*args) returns."""
        before = time.process_time()
        result = work(*args)
        self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - before
        return result


def item(ours: Ours, index: int, rng: Any, clock: Clock) -> Any:
    """Return a training item, made part by part."""
    dataset, hyp, size = ours.loader.dataset, ours.plan.hyp, (ours.plan.options.imgsz,) * 2
    chosen = [index, *rng.integers(len(dataset), size=3)]
    scenes = [clock("decode and fit", dataset._scene, int(i)) for i in chosen]
    scene = clock("mosaic", augment.mosaic, scenes, size[0], rng)
    scene = clock("affine", augment.random_affine, scene, size, hyp, rng)
    scene = clock("colour and flip", augment.vary, scene, hyp, rng)
    image = clock("to RGB", cv2.cvtColor, scene.image, cv2.COLOR_BGR2RGB)
    labels = torch.zeros(len(scene.boxes), 5)
    labels[:, 1:] = torch.tensor([0.5, 0.5, 0.2, 0.2])
    return torch.from_numpy(image).permute(2, 0, 1), labels, "", None


def parts(options: Any) -> None:
    """Print the milliseconds an image that each part of the project's step takes, and its share."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        ours, rng = Ours(options, 0, folder), np.random.default_rng(0)
        state, clock, model = ours.run, Clock(), ours.run.model.train()
        for number in range(options.images // options.batch_size + 1):
            if number == 1:
                clock = Clock()  # the first batch is a warm-up
            items = [item(ours, int(i), rng, clock) for i in rng.integers(len(ours.samples), size=options.batch_size)]
            images, targets, _, _ = clock("collate", collate, items)
            images = clock("to float", prepare, state, images)
            raw = clock("forward", model, images)
            loss, _ = clock("loss", state.loss, raw, targets)
            clock("backward", loss.backward)
            clock("clip, optimizer", step, state)
            clock("moving average", state.ema.update, model)
    total = sum(clock.spent.values())
    print("| part | CPU ms an image | share |\n|---|---|---|")
    for name, seconds in clock.spent.items():
        done = options.images // options.batch_size * options.batch_size
        print(f"| {name} | {1000 * seconds / done:.2f} | {seconds / total:.1%} |")


def step(state: Any) -> None:
    """Do an optimizer step."""
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 10.0)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)


def single_thread() -> None:
    """Let this process compute in one thread, from a fixed seed."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.manual_seed(0)


def rows(options: StepOptions) -> list[Row]:
    """Return the rows of all numbers of workers."""
    return [row for workers in map(int, options.workers.split(",")) for row in compare(options, workers)]


def main(options: StepOptions) -> None:
    """Print the table."""
    if options.parts:
        print(f"{processor()}, {os.cpu_count()} cores, {date.today()}; {options.cfg} at {options.imgsz}\n")
        return parts(options)
    print(table(rows(options), command(SCRIPT, options)))


if __name__ == "__main__":
    run(StepOptions, main, __doc__)
