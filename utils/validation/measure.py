"""Measuring a detector on a split of a data set, for every script: the loader, the classes, the Evaluation."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from models.yolo import DetectionModel
from utils.data.choice import ANY_OBJECT, same_name, side_by_side
from utils.data.config import DataConfig
from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.data.splits import load_split
from utils.data.steady import SteadyLoader
from utils.errors import InputError, warn
from utils.runtimes.interface import Runtime
from utils.runtimes.runtimes import folded
from utils.validation.evaluate import Evaluation, evaluate

IMGSZ = 640  # pixels that images are fitted into where nothing else is asked for
PAD = 0.5  # strides of grey around the images: the border that published numbers are measured with


def validate(
    model: DetectionModel,
    config: DataConfig,
    split: str = "val",
    *,
    device: torch.device,
    imgsz: int = 640,
    batch_size: int = 32,
    workers: int = 8,
    single_cls: bool = False,
    progress: bool = True,
    **options: Any,
) -> Evaluation:
    """Return the Evaluation of a DetectionModel, left as it is, on a split of a data set.

    Args:
        model: DetectionModel with the classes of the data.
        config: DataConfig.
        split: train, val or test.
        imgsz: longest side of the images in pixels, a multiple of the stride.
        options: passed on to utils.validation.evaluate.evaluate.

    Raises InputError when the classes differ or the split has no usable images.
    """
    loader = make_validation_loader(model, config, split, imgsz, batch_size, workers, single_cls, progress)
    names = evaluated_names(config, single_cls)
    return measure(model, loader, names=names, device=device, single_cls=single_cls, progress=progress, **options)


def measure(model: DetectionModel | Runtime, loader: Iterable, *, device: torch.device, **options: Any) -> Evaluation:
    """Return the Evaluation of a float32 copy of a DetectionModel with folded batch norms, or of the runtime of a file.

    Options as for evaluate.
    """
    ready = model if isinstance(model, Runtime) else folded(model, device)
    return evaluate(ready, loader, device=device, **options)


def evaluated_names(config: DataConfig, single_cls: bool) -> dict[int, str]:
    """Return {index: name} of the classes that are told apart."""
    return ANY_OBJECT if single_cls else config.names


def check_classes(model: DetectionModel | Runtime, config: DataConfig) -> None:
    """Raise InputError when a model's classes are not those of a data set."""
    if model.nc != config.nc:
        problem = f"{config.nc} classes, but the model has {model.nc}; they must be the same"
    else:
        called = ((index, name, model.names[index]) for index, name in config.names.items())
        other = [each for each in called if each[2] != f"class{each[0]}" and not same_name(*each[1:])]
        if not other:
            return
        index, name, own = other[0]
        problem = (
            f"names: class {index} is {name!r}, but the model calls it {own!r}; "
            "give the names in the order that the model was trained with"
        )
    raise InputError(f"{config.file}: {problem}\n{side_by_side(config.names, model.names)}")


def make_validation_loader(
    model: DetectionModel | Runtime,
    config: DataConfig,
    split: str,
    imgsz: int,
    batch_size: int,
    workers: int,
    single_cls: bool = False,
    progress: bool = True,
) -> SteadyLoader:
    """Return the loader of a split: batches of images of like shape, letterboxed for the model.

    A model with an attribute `shape` (height, width) gets all images letterboxed to that shape, whatever imgsz says.

    Raises InputError when the classes differ or the split has no usable images.
    """
    if not single_cls:
        check_classes(model, config)
    samples, _ = load_split(config, split, max(workers, 1), progress)
    shape = getattr(model, "shape", None)
    dataset = DetectionDataset(
        samples,
        max(shape) if shape else imgsz,
        rect=not shape,
        shape=shape,
        batch_size=batch_size,
        stride=model.size_multiple,
        pad=PAD,
        single_cls=single_cls,
        progress=progress,
    )
    return make_loader(dataset, batch_size, min(workers, os.cpu_count() or 1, batch_size - 1))


def whole_strides(size: int, stride: int, least: int = 1, say: Callable[[str], None] = warn) -> int:
    """Return an image size in pixels rounded up to a multiple of the stride, at least `least` strides.

    `say` gets a line when that changes it.
    """
    rounded = max(-(-size // stride), least) * stride
    if rounded != size:
        reason = f"not a multiple of the stride {stride}" if size % stride else "too small"
        say(f"--imgsz {size}: {reason}; {rounded} is used")
    return rounded


def required_shape(model: DetectionModel | Runtime, sizes: Sequence[int], say: Callable[[str], object] = warn) -> Any:
    """Return the (height, width) that an exported file takes alone, None when it or a network takes any.

    sizes: the longest side, or height and width, that were asked for in pixels; empty: nothing was. `say` gets a line
    when they differ.
    """
    shape = getattr(model, "shape", None)
    if shape and sizes and (tuple(sizes) != shape if len(sizes) > 1 else sizes[0] != max(shape)):
        asked, size = " ".join(map(str, sizes)), "x".join(map(str, shape))
        say(f"--imgsz {asked}: {Path(str(model.path)).name} takes images of {size} alone; that size is used")
    return shape


def image_shape(model: DetectionModel | Runtime, sizes: Sequence[int] | None) -> tuple[int, int]:
    """Return the (height, width) that images are fitted into: what --imgsz asks for in whole strides, or a file's own.

    sizes: one for both sides, or height and width; None: nothing was asked for, IMGSZ or a file's own.
    """
    shape = required_shape(model, sizes or ())
    if shape:
        return shape
    sides = [whole_strides(size, model.size_multiple) for size in sizes or [IMGSZ]]
    return sides[0], sides[-1]
