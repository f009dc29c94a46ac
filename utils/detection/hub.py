"""Models for use in other people's programs: any picture in, detections out.

The interface is that of the public YOLOv5's torch.hub models.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn

from models.show import summary
from models.yolo import DetectionModel
from utils.boxes.geometry import import_nms, non_max_suppression, scale_boxes
from utils.cli.device import select_device
from utils.data.augment import letterbox
from utils.data.images import read_image
from utils.detection.hub_results import Detections
from utils.errors import InputError, warn
from utils.files.checkpoint import load_checkpoint
from utils.files.downloads import TIMEOUT, address_name, find_weights, is_address
from utils.files.paths import find_file
from utils.runtimes.interface import Runtime
from utils.runtimes.runtimes import is_exported, load_detector
from utils.validation.evaluate import STAGES, Stopwatch, split_output
from utils.validation.measure import required_shape

Device = str | int | torch.device | None

MOST_CHANNELS = 4  # an array whose first side is at most this has its channels there


def load_custom(
    path: str | Path = "path/to/model.pt", autoshape: bool = True, _verbose: bool = True, device: Device = None
) -> "AutoShape | DetectionModel | Runtime":
    """Return the model of a checkpoint on the user's disk, or at an address, or what export.py made of one.

    Args:
        path: .pt file, or .onnx, .torchscript, .tflite, or a folder of OpenVINO or ncnn.
        autoshape: True for a model that takes pictures (AutoShape), False for the DetectionModel or Runtime itself.
        _verbose: say on stderr what was loaded.
        device: "cpu", the number of a GPU, or a torch.device; None: a GPU if there is one.

    Raises InputError.
    """
    if is_exported(path):
        runtime = load_detector(path, choose_device(device))
        if _verbose:
            print(f"{runtime.path}: {runtime.label}", file=sys.stderr)
        return AutoShape(runtime) if autoshape else runtime
    checkpoint = load_checkpoint(find_weights(path))
    model = checkpoint.network
    if autoshape:
        model.fuse().requires_grad_(False)
    if _verbose:
        print(summary(checkpoint.path.stem, model), file=sys.stderr)
    model = model.to(choose_device(device))
    return AutoShape(model) if autoshape else model


def make_entry(name: str) -> Callable[..., Any]:
    """Return the torch.hub entry point of one of the public models, such as yolov5n."""

    def entry(pretrained=True, channels=3, classes=80, autoshape=True, _verbose=True, device=None):
        """Described below, by its name."""
        if pretrained and channels == 3 and classes == 80:
            return load_custom(f"{name}.pt", autoshape, _verbose, device)
        return start(name, pretrained, channels, classes, _verbose, device)

    entry.__name__ = name
    entry.__doc__ = f"""Return the public model {name}.

    Args:
        pretrained: with the public weights, {name}.pt, downloaded where they are missing.
        channels, classes: of another network than the public one, to be trained. The weights that fit are taken over,
            and the DetectionModel itself is returned, whatever autoshape says, as the public YOLOv5 does.
        autoshape, _verbose, device: as for custom.
    """
    return entry


def start(name: str, pretrained: bool, channels: int, classes: int, verbose: bool, device: Device) -> DetectionModel:
    """Return the DetectionModel of a model yaml to train; if pretrained, with those public weights that fit."""
    model = DetectionModel(find_file(f"{name}.yaml", "models", "models/hub", what="model yaml"), channels, classes)
    if pretrained:
        public = load_checkpoint(find_weights(f"{name}.pt")).model
        own = model.state_dict()
        fitting = {
            key: value
            for key, value in public.state_dict().items()
            if not key.endswith("anchors") and key in own and own[key].shape == value.shape
        }
        model.load_state_dict({**own, **fitting})
        if public.nc == classes:
            model.names = public.names
    if verbose:
        print(summary(name, model), file=sys.stderr)
    return model.to(choose_device(device))


def choose_device(device: Device) -> torch.device:
    """Return the torch.device for a torch.device, a number, or what --device takes."""
    return device if isinstance(device, torch.device) else select_device("" if device is None else device)


class AutoShape(nn.Module):
    """A DetectionModel, or the Runtime of an exported file, that takes pictures of any kind and size.

    Its attributes may be changed between calls: conf and iou (thresholds), classes (list of those to keep, or None),
    agnostic (boxes of different classes suppress each other), multi_label (several classes a box), max_det, amp (mixed
    precision on GPUs). names, stride, nc and yaml are the model's; exported files have no yaml.
    """

    conf, iou, classes, agnostic, multi_label, max_det, amp = 0.25, 0.45, None, False, False, 1000, False

    def __init__(self, model: DetectionModel | Runtime) -> None:
        """model: DetectionModel, which is put into evaluation mode, or utils.runtimes.interface.Runtime."""
        super().__init__()
        self.model = model
        self.names, self.stride, self.nc = model.names, model.size_multiple, model.nc
        self.yaml, self.say = getattr(model, "yaml", None), cache(warn)  # each line once
        self.eval()

    @torch.no_grad()
    def forward(self, ims: Any, size: int | tuple[int, int] = 640, augment: bool = False, profile: bool = False) -> Any:
        """Detect on pictures.

        Args:
            ims: a picture or a list of them: path or address of a file, PIL image, array [H, W, 3], [3, H, W] or [H, W]
                from 0 to 255 in RGB. Or one tensor [B, 3, H, W] from 0 to 1 with sides that the stride divides.
            size: longest side in pixels that pictures are scaled to, or (height, width). Of exported files with a fixed
                size that one counts.
            augment: test-time augmentation.
            profile: accepted for programs that pass it; times are always taken.

        Returns:
            Detections; for a tensor what the model returns.

        Raises:
            InputError for what is no picture.
        """
        device, dtype = self.place()
        autocast = torch.autocast(device.type, enabled=self.amp and device.type != "cpu")
        if isinstance(ims, torch.Tensor):
            with autocast:
                return self.model(ims.to(device, dtype), augment=augment)
        import_nms()  # not on the clock
        watches = [Stopwatch(device) for _ in STAGES]
        with watches[0]:
            pictures, files = read_pictures(ims)
            shape = self.common_shape(pictures, size)
            fitted = [letterbox(picture, shape) for picture in pictures]
            pixels = np.ascontiguousarray(np.stack([image for image, _, _ in fitted]).transpose(0, 3, 1, 2))
            batch = torch.from_numpy(pixels).to(device, dtype) / 255
        with watches[1], autocast:
            predictions, _ = split_output(self.model(batch, augment=augment))
        with watches[2]:
            found = non_max_suppression(
                predictions, self.conf, self.iou, self.classes, self.agnostic, self.multi_label, self.max_det
            )
            for rows, picture, (_, scale, border) in zip(found, pictures, fitted):
                rows[:, :4] = scale_boxes(rows[:, :4], shape, picture.shape[:2], ((scale, scale), border))
        return Detections(pictures, found, files, [watch.seconds for watch in watches], self.names, tuple(batch.shape))

    def place(self) -> tuple[torch.device, torch.dtype]:
        """Return (device, dtype) that the model takes images in."""
        if isinstance(self.model, Runtime):
            return self.model.device, torch.float32
        parameter = next(self.model.parameters())
        return parameter.device, parameter.dtype

    def common_shape(self, pictures: Sequence[np.ndarray], size: int | tuple[int, int]) -> tuple[int, int]:
        """Return the smallest (height, width) in whole strides that all pictures, scaled to `size`, fit into.

        For files of fixed size it is always their size, and stderr says once that another was asked for.
        """
        sizes = [size] if isinstance(size, int) else size
        shape = required_shape(self.model, sizes, self.say)
        if shape:
            return shape
        longest = max(sizes)
        shapes = np.array([picture.shape[:2] for picture in pictures])
        scaled = np.round(shapes * (longest / shapes.max(1, keepdims=True))).clip(1)
        return tuple((-(-scaled.max(0) // self.stride) * self.stride).astype(int).tolist())


def read_pictures(sources: Any) -> tuple[list[np.ndarray], list[str]]:
    """Return (pictures uint8 [h, w, 3] RGB, file names), two lists, of a picture or a list. Raises InputError."""
    sources = sources if isinstance(sources, (list, tuple)) else [sources]
    if not len(sources):
        raise InputError("the list of images is empty")
    pictures, names = zip(*(read_picture(source, f"image{number}") for number, source in enumerate(sources)))
    return list(pictures), distinct([Path(name).stem for name in names])


def distinct(stems: Sequence[str]) -> list[str]:
    """Return file names with the suffix .jpg for a list of stems; one that is there already gets a number."""
    names = []
    for stem in stems:
        name, number = f"{stem}.jpg", 1
        while name in names:
            number += 1
            name = f"{stem}_{number}.jpg"
        names.append(name)
    return names


def read_picture(source: Any, name: str) -> tuple[np.ndarray, str]:
    """Return (picture uint8 [h, w, 3] RGB, its file name, `name` when it has none). Raises InputError."""
    if isinstance(source, (str, Path)):
        image = read_address(str(source)) if is_address(source) else read_image(source)
        if image is None:
            known = is_address(source) or Path(source).exists()
            raise InputError(f"{source}: {'cannot be decoded as an image' if known else 'no such image'}")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), address_name(source) if is_address(source) else Path(source).name
    if isinstance(source, Image.Image):
        upright = ImageOps.exif_transpose(source).convert("RGB")
        return np.asarray(upright), Path(getattr(source, "filename", "") or name).name
    return as_picture(np.asarray(source), name), name


def read_address(url: str, opener: Callable[..., Any] = urlopen) -> np.ndarray | None:
    """Return the image at an address as uint8 [h, w, 3] BGR, None when it is none. Raises InputError."""
    try:
        with opener(Request(url, headers={"User-Agent": "Python-urllib"}), timeout=TIMEOUT) as answer:
            data = answer.read()
    except OSError as error:
        raise InputError(f"{url}: cannot be read ({getattr(error, 'reason', None) or error})") from None
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None


def as_picture(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array [H, W, C], [C, H, W] or [H, W] of 0 to 255 as a picture uint8 [h, w, 3]. Raises InputError."""
    if array.ndim == 3 and array.shape[0] <= MOST_CHANNELS:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = np.stack([array] * 3, 2)
    if array.ndim != 3 or array.shape[2] < 3 or not array.size or array.dtype.kind not in "uif":
        raise InputError(f"{name}: an array of shape {array.shape}, {array.dtype}, is no image; must be [H, W, 3]")
    if array.dtype.kind == "f" and 0 < array.max() <= 1:
        raise InputError(f"{name}: its values go from 0 to 1; must go from 0 to 255")
    return np.ascontiguousarray(array[..., :3].clip(0, 255).astype(np.uint8))
