"""Batches: their order, how items are joined, and the DataLoader."""

import sys
import zlib
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler

from utils.data.scanning.reports import MOST_MISSING, some
from utils.data.steady import SteadyLoader
from utils.errors import InputError

QUAD = 4  # images that one image of a quad batch is made of


class EpochBatches(Sampler):
    """Lists of indices, one a batch, in an order that the seed and the data set's epoch fix.

    Every rank gets equally many images: the order is filled up from its start. Batches of a rectangular data set stay
    as they are, because each has its own shape: there the order of whole batches is drawn and shared out.

    weights: None, or a chance for each image [n] to be drawn (with replacement) when shuffling.
    first: the batch to begin with, where an epoch was stopped.
    """

    def __init__(self, dataset, batch_size, *, shuffle, seed=0, rank=0, world_size=1):
        self.dataset = dataset
        self.batch_size = dataset.batch_size if dataset.rect else batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.weights = None
        self.first = 0

    def __len__(self):
        images = len(self.dataset)
        if self.dataset.rect:
            return -(-len(range(0, images, self.batch_size)) // self.world_size)
        return -(-images // (self.world_size * self.batch_size)) if images else 0

    def __iter__(self):
        rng = np.random.default_rng([self.seed, self.dataset.epoch, len(self.dataset)])  # items use the numbers below
        if self.dataset.rect:
            batches = self._chunks(np.arange(len(self.dataset)))
            yield from [batches[index] for index in self._share(self._order(len(batches), rng, None))][self.first :]
        else:
            yield from self._chunks(self._share(self._order(len(self.dataset), rng, self.weights)))[self.first :]

    def _order(self, number, rng, weights):
        if not self.shuffle:
            return np.arange(number)
        if weights is None:
            return rng.permutation(number)
        return rng.choice(number, number, p=np.asarray(weights, float) / np.sum(weights))

    def _share(self, order):
        """Return this rank's part of an order."""
        each = -(-len(order) // self.world_size)
        return np.resize(order, each * self.world_size)[self.rank :: self.world_size]

    def _chunks(self, order):
        return [order[i : i + self.batch_size].tolist() for i in range(0, len(order), self.batch_size)]


def collate(items: Any) -> Any:
    """Join items of DetectionDataset into images uint8 [B, 3, H, W], targets float32 [N, 6], paths, shapes.

    A target is image index, class, cx, cy, w, h, normalised. None of no items.
    """
    if not items:
        return None
    images, labels, paths, shapes = zip(*items, strict=True)
    numbered = [functional.pad(rows, (1, 0), value=index) for index, rows in enumerate(labels)]
    return stacked(images), torch.cat(numbered), paths, shapes


def stacked(images: Any) -> torch.Tensor:
    """Return images [3, H, W] as a batch [B, 3, H, W] of their layout in memory; torch.stack moves the channels."""
    if images[0].is_contiguous():
        return torch.stack(images)
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)


class QuadCollate:
    """Joins items four at a time into images of twice the side: four tiles, or by even chance one image enlarged.

    So a quarter of the batch size trains at twice the image size. The chance depends on seed, epoch and first path
    only. What is left over of a batch that four does not divide is enlarged.
    """

    def __init__(self, dataset):
        self.dataset = dataset

    def __call__(self, items: Any) -> Any:
        """Return the batch of a list of training items, QUAD of them in each image."""
        items = [(image.contiguous(), *rest) for image, *rest in items]
        groups = [items[start : start + QUAD] for start in range(0, len(items), QUAD)]
        return collate([self._join(group) for group in groups])

    def _join(self, group):
        image, labels, path, shapes = group[0]
        rng = np.random.default_rng([self.dataset.seed, self.dataset.epoch, zlib.crc32(path.encode())])
        if len(group) < QUAD or rng.random() < 0.5:
            return functional.interpolate(image[None], scale_factor=2, mode="bilinear")[0], labels, path, shapes
        rows = [torch.cat([item[0] for item in group[start : start + 2]], 2) for start in (0, 2)]
        moved = [tile[1] + torch.tensor([0, i % 2, i // 2, 0, 0], dtype=torch.float32) for i, tile in enumerate(group)]
        return torch.cat(rows, 1), torch.cat(moved) * torch.tensor([1, 0.5, 0.5, 0.5, 0.5]), path, None


class Batches(SteadyLoader):
    """The batches of an epoch, without those of which no photo can be decoded; its end says which photos these are.

    Raises InputError when they are more than a tenth.
    """

    said = 0  # photos that were named so far

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            if batch is not None:
                yield batch
        self.report()

    def report(self) -> None:
        """Count and name the photos that turned out broken, one line when there are new ones."""
        data: Any = self.dataset
        broken = data.broken
        if len(broken) == self.said:
            return
        self.said = len(broken)
        line = f"{len(broken)} of {len(data)} images cannot be decoded: {some(broken)}"
        if len(broken) > MOST_MISSING * len(data):
            raise InputError(f"{line}; at most a tenth may be missing")
        done = "they are left out" if data.hyp is None else "the next ones are trained on in their place"
        self.say(f"{line}; {done}")


def make_loader(
    dataset: Any,
    batch_size: int,
    workers: int = 0,
    *,
    shuffle: bool = False,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    quad: bool = False,
    pin_memory: bool = False,
) -> SteadyLoader:
    """Return the loader of a DetectionDataset; its batches are those of collate.

    Workers live for one epoch, so that dataset.set_epoch before iterating reaches them. The global generator of torch
    is not touched. The last batch may be smaller; len(loader) counts it. loader.batch_sampler is an EpochBatches.
    """
    order = EpochBatches(dataset, batch_size, shuffle=shuffle, seed=seed, rank=rank, world_size=world_size)
    generator = torch.Generator().manual_seed(seed)
    linux = sys.platform == "linux"  # other ways to start a worker would copy the images cached in memory

    def load(batches: Any, workers: int) -> DataLoader:
        """Return a DataLoader of some batches."""
        return DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=QuadCollate(dataset) if quad else collate,
            pin_memory=pin_memory,
            worker_init_fn=_start_worker,
            generator=generator,
            multiprocessing_context="fork" if workers and linux else None,
        )

    return Batches(dataset, order, workers, load)


def _start_worker(_):
    cv2.setNumThreads(0)  # one thread a worker; more would compete with the other workers
