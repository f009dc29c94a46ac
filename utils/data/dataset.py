"""The data set of images with boxes: caching, rectangular batches and augmented training items."""

import math
from multiprocessing.sharedctypes import RawArray
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from utils.data import augment
from utils.data.caching.disk import load_photo, on_disk
from utils.data.caching.memory import Once, PhotoMemory, alone, in_memory
from utils.data.images import fit_image, fitted_size, read_image, reduction_for
from utils.data.samples import Samples
from utils.errors import InputError

EDGE = 1e-3  # px; clipped boxes stay this far inside the image, so that a centre never lies in the cell beyond it


class DetectionDataset(Dataset):
    """Images with boxes; see __getitem__ for what an item is.

    Args:
        samples: utils.data.samples.Samples, or a list of utils.data.labels.Sample.
        imgsz: long side in pixels that images are resized to.
        hyp: dict of augmentation settings for training, or None for validation.
        rect: sort by aspect ratio and give each batch of batch_size its own shape, a multiple of stride, with pad
            strides (or a part) of border; no mosaic then.
        cache: None, 'ram' (resized images in memory) or 'disk' (decoded images as .npy beside the files).
        once: lets one process of a machine fill the cache, which the others then share.
        seed: with the epoch and the index it fixes everything that is drawn for an item.
        single_cls: all boxes get class 0.
        shape: (h, w) that every item is letterboxed to, or None for squares of imgsz; without rect only.
        share: (rank, processes), which take the batches of a rectangular data set in turns; others do not share.

    A photo that cannot be decoded, although its head and end are whole, is left out. In training the next one that can
    be takes its place, with its objects; the random numbers of an item stay the same, so a resumed run sees the same
    items. In validation there is one item less. `broken` says which.

    Attributes: samples (in the order of the items), labels (Ragged of float32 [n, 5]), shapes (int [n, 2]: w, h),
    imgsz, epoch.
    """

    def __init__(
        self,
        samples: Any,
        imgsz: int,
        *,
        hyp: Any = None,
        rect: bool = False,
        batch_size: int = 16,
        stride: int = 32,
        pad: float = 0.0,
        cache: str | None = None,
        seed: int = 0,
        single_cls: bool = False,
        shape: tuple[int, int] | None = None,
        share: tuple[int, int] = (0, 1),
        workers: int = 1,
        progress: bool = True,
        once: Once = alone,
    ) -> None:
        samples = Samples.of(samples)
        self.rect = rect
        self.shape = shape or (imgsz, imgsz)
        self.batch_size = batch_size
        if rect:
            aspects = samples.shapes[:, 0] / samples.shapes[:, 1]
            # Not a stable sort: the order of equal aspects decides who shares a batch, and this is the public code's.
            order = np.argsort(aspects)
            self.batch_shapes = batch_shapes(aspects[order], imgsz, batch_size, stride, pad)[share[0] :: share[1]]
            samples = samples.take(order[np.arange(len(order)) // batch_size % share[1] == share[0]])
        if single_cls:
            samples = samples.renumbered(np.zeros(int(samples.labels.values[:, 0].max(initial=0)) + 1))
        self.samples = samples
        self.shapes = samples.shapes[:, ::-1]
        self.labels = samples.labels
        self.imgsz = imgsz
        self.hyp = hyp
        self.seed = seed
        self.epoch = 0
        self.cache = cache
        self._broken = RawArray("b", max(len(samples), 1))  # which every worker writes to
        self._images = self._fill_cache(workers, progress, once)

    def __len__(self) -> int:
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose random numbers items are drawn with."""
        self.epoch = epoch

    def generator(self, index: int) -> np.random.Generator:
        """Return the numpy generator of one item: the same in every process, however many there are."""
        return np.random.default_rng([self.seed, self.epoch, index])

    def __getitem__(self, index: int) -> Any:
        """Return (image, labels, path, shapes).

        image is uint8 [3, h, w] in RGB, in training with the channels last in memory; labels float32 [n, 5]: class,
        cx, cy, w, h normalised by that image. shapes is ((h0, w0), ((scale_h, scale_w), (left, top))): original pixels
        times scale plus left, top are pixels of the image; None for an augmented item. Raises InputError when the photo
        of a validation item cannot be decoded, and when that of a training item and all others cannot.
        """
        if self.hyp is None:
            scene, shapes = self._plain(index)
        else:
            scene, shapes = self._augmented(index, self.generator(index)), None
        height, width = scene.image.shape[:2]
        labels = _normalise(scene.boxes, height, width)
        image = torch.from_numpy(cv2.cvtColor(scene.image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
        if self.hyp is None:
            image = image.contiguous()
        return image, torch.from_numpy(labels), self.samples.paths[index], shapes

    def __getitems__(self, indices: list[int]) -> list:
        """Return the items of a batch, without those of validation whose photos cannot be decoded."""
        items = []
        for index in indices:
            try:
                items.append(self[index])
            except InputError:
                if self.hyp is not None:
                    raise
        return items

    @property
    def broken(self) -> list[str]:
        """The paths of the photos that could not be decoded so far, here or in any worker."""
        return [self.samples.paths[int(index)] for index in np.flatnonzero(self._broken)]

    def item_shape(self, index: int) -> Any:
        """Return (h, w) of the item."""
        return self.batch_shapes[index // self.batch_size] if self.rect else self.shape

    def read(self, index: int) -> np.ndarray:
        """Return an image fitted to imgsz, uint8 [h, w, 3] BGR; from the cache where it is there.

        Raises InputError when the file cannot be decoded, or is not the photo that was scanned.
        """
        image = None
        if not self._broken[index]:  # once is enough: decoders complain on stderr
            image = self._load(index) if self._images is None else self._images[index]
        if image is None:
            self._broken[index] = 1
            raise InputError(
                f"{self.samples.paths[index]}: cannot be decoded, or is not as large as it was when the images were "
                "scanned"
            )
        return image

    def _load(self, index):
        """Return an image fitted to imgsz, None when it cannot be decoded or has another size than was scanned.

        For training, a JPEG at least twice as large as needed is decoded at a half, a quarter or an eighth of its
        size, where its sides allow that. It takes a fraction of the time.
        """
        path, shape = self.samples.paths[index], tuple(self.samples.shapes[index].tolist())
        reduction = 1 if self.hyp is None else reduction_for(*shape, self.imgsz)
        image = load_photo(path) if self.cache == "disk" else read_image(path, reduction)
        if image is None or image.shape[:2] not in (shape, (shape[0] // reduction, shape[1] // reduction)):
            return None
        return fit_image(image, self.imgsz, self.hyp is None, shape)

    def _fill_cache(self, workers, progress, once):
        """Fill the cache that is asked for; return the PhotoMemory, None without one.

        Where it does not fit, into the memory or into a read-only folder, there is none.
        """
        images, paths = None, list(self.samples.paths) if self.cache else []
        if self.cache == "disk" and not once(lambda: "stored" if on_disk(paths, workers, progress) else ""):
            self.cache = None
        if self.cache == "ram" and paths:  # a share may be empty
            sizes = [fitted_size(*shape, self.imgsz) for shape in self.samples.shapes.tolist()]
            images = in_memory(PhotoMemory(paths, sizes), self._load, workers, progress, once)
            self.cache = self.cache if images else None
        return images

    def _scene(self, index):
        """Return one image fitted to imgsz as a Scene."""
        image, index = self._photo(index)
        height, width = image.shape[:2]
        labels, size = self.labels[index], np.array([width, height], np.float32)
        polygons = self.samples.segments(index) or [None] * len(labels)
        polygons = [None if polygon is None else polygon * size for polygon in polygons]
        return augment.Scene(image, _to_pixels(labels, height, width), polygons)

    def _photo(self, index):
        """Return (image, index) of an item's photo; in training the next one's where that cannot be decoded."""
        for step in range(len(self)):
            place = (index + step) % len(self)
            try:
                return self.read(place), place
            except InputError:
                if self.hyp is None or step == len(self) - 1:
                    raise

    def _letterboxed(self, index, enlarge):
        """Return one image letterboxed to the item's shape as a Scene, its scale after fitting, and (left, top)."""
        scene = self._scene(index)
        image, scale, (left, top) = augment.letterbox(scene.image, self.item_shape(index), enlarge)
        if scale != 1:
            scene.boxes[:, 1:] *= scale
            scene.polygons = [None if polygon is None else polygon * scale for polygon in scene.polygons]
        boxes, polygons = scene.shifted(left, top)
        return augment.Scene(image, boxes, polygons), scale, (left, top)

    def _plain(self, index):
        """Return the letterboxed Scene of a validation item and how it came about (see __getitem__)."""
        scene, scale, border = self._letterboxed(index, enlarge=False)
        height, width = map(int, self.samples.shapes[index])
        fitted = fitted_size(height, width, self.imgsz)
        scales = fitted[0] / height * scale, fitted[1] / width * scale
        return scene, ((height, width), (scales, border))

    def _augmented(self, index, rng):
        """Return the Scene of a training item."""
        hyp = self.hyp
        if not self.rect and rng.random() < hyp["mosaic"]:
            scene = self._mosaic(index, rng)
            if rng.random() < hyp["mixup"]:
                scene = augment.mixup(scene, self._mosaic(int(rng.integers(len(self))), rng), rng)
        else:
            scene, _, _ = self._letterboxed(index, enlarge=True)
            scene = augment.random_affine(scene, self.item_shape(index), hyp, rng)
        return augment.vary(scene, hyp, rng)

    def _mosaic(self, index, rng):
        """Return a mosaic of one image and three drawn ones, in drawn order, cropped to imgsz by the affine."""
        chosen = rng.permutation([index, *rng.integers(len(self), size=3)])
        scene = augment.mosaic([self._scene(int(i)) for i in chosen], self.imgsz, rng)
        if self.hyp["copy_paste"]:
            scene = augment.copy_paste(scene, self.hyp["copy_paste"], rng)
        return augment.random_affine(scene, (self.imgsz, self.imgsz), self.hyp, rng)


def batch_shapes(aspects: np.ndarray, imgsz: int, batch_size: int, stride: int, pad: float) -> Any:
    """Return one (h, w) a batch for sorted aspects (h / w): the least multiple of stride that the batch's images fit.

    The long side is imgsz; pad is added in units of the stride before rounding up.
    """
    shapes = []
    for start in range(0, len(aspects), batch_size):
        low, high = aspects[start], aspects[min(start + batch_size, len(aspects)) - 1]
        ratios = (high, 1) if high < 1 else (1, 1 / low) if low > 1 else (1, 1)
        shapes.append(tuple(math.ceil(ratio * imgsz / stride + pad) * stride for ratio in ratios))
    return shapes


def _to_pixels(labels, height, width):
    """Return boxes [n, 5] (class, x1, y1, x2, y2 px) of normalised labels [n, 5] (class, cx, cy, w, h)."""
    centre, half = labels[:, 1:3], labels[:, 3:5] / 2
    corners = np.concatenate([centre - half, centre + half], 1) * np.array([width, height] * 2, np.float32)
    return np.concatenate([labels[:, :1], corners], 1)


def _normalise(boxes, height, width):
    """Return labels [n, 5] (class, cx, cy, w, h normalised) of boxes [n, 5] (class, x1, y1, x2, y2 px), clipped."""
    limit = np.array([width, height], np.float32)
    low = boxes[:, 1:3].clip(0, limit - EDGE)
    high = boxes[:, 3:5].clip(0, limit - EDGE)
    return np.concatenate([boxes[:, :1], (low + high) / 2 / limit, (high - low) / limit], 1).astype(np.float32)
