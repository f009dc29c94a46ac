"""What an exported file says about itself, under the keys that the public YOLOv5 writes and reads."""

import ast
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models import limits
from models.cost import count_gflops, count_parameters
from models.errors import shown
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.runtimes.maps import Scales

Cost = tuple[int, float] | tuple[None, None]  # parameters, GFLOPs at 640 × 640 pixels

DESCRIPTION = "YOLOv5 detector"
FACTS = "metadata.yaml"  # in the folders of formats whose files hold no metadata


@dataclass(frozen=True)
class Metadata:
    """Facts that a user of the file needs and that its tensors do not tell."""

    stride: int  # pixels; the sides of images are multiples of it
    names: dict[int, str]
    imgsz: tuple[int, int]  # height, width in pixels that the file was exported with
    batch: int = 1
    parameters: int = 0
    gflops: float = 0.0  # at 640 × 640 pixels
    nms: bool = False
    scales: Scales | None = None  # of a file that ends before its boxes are decoded

    def strings(self) -> dict[str, str]:
        """Return {key: text}. Names are written as Python writes a dict, which is what the public code reads."""
        return {
            "description": DESCRIPTION,
            "task": "detect",
            "stride": str(self.stride),
            "names": str(self.names),
            "imgsz": str(list(self.imgsz)),
            "batch": str(self.batch),
            "nms": str(self.nms),
            "parameters": str(self.parameters),
            "gflops": f"{self.gflops:.6g}",
            **(self.scales.strings() if self.scales else {}),
        }


def describe_model(model: DetectionModel, shape: tuple[int, int], batch: int = 1) -> Metadata:
    """Return the Metadata of a DetectionModel that is exported for images of shape (height, width)."""
    cost = count_parameters(model), count_gflops(model)
    return Metadata(model.size_multiple, dict(model.names), shape, batch, *cost)


def write_facts(metadata: Metadata, folder: Path) -> None:
    """Write metadata.yaml, the Metadata of a model that is a folder."""
    facts = {**metadata.strings(), "stride": metadata.stride, "names": metadata.names, "imgsz": list(metadata.imgsz)}
    (folder / FACTS).write_text(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_cost(values: Mapping[str, Any]) -> Cost:
    """Return (parameters, GFLOPs at 640 × 640) from a file's metadata, (None, None) when it does not tell."""
    try:
        cost = int(values["parameters"]), float(values["gflops"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None, None
    return cost if cost[0] >= 0 and math.isfinite(cost[1]) else (None, None)


def read_names_and_stride(values: Mapping[str, Any], path: str | Path) -> tuple[dict[int, str], int]:
    """Return ({class index: name}, stride) from a file's metadata {key: text or value}.

    Raises InputError when they are absent, unreadable or not those of a detector: the file is of another one.
    """
    names, stride = (_literal(values, key, path) for key in ("names", "stride"))
    try:
        names = dict(enumerate(names)) if isinstance(names, (list, tuple)) else names
        names, stride = {int(i): str(name) for i, name in names.items()}, int(stride)
    except Exception:  # noqa: BLE001 a text can spell anything
        raise InputError(f"{path}: metadata names and stride are unreadable; must be exported by export.py") from None
    if not 1 <= len(names) <= limits.CLASSES or names.keys() != set(range(len(names))):
        raise InputError(f"{path}: metadata names: must be 1 to {limits.CLASSES:,} classes, numbered from 0")
    if max(map(len, names.values())) > limits.NAME_LENGTH:
        raise InputError(f"{path}: metadata names: a class name has at most {limits.NAME_LENGTH:,} characters")
    if not 1 <= stride <= limits.KERNEL:
        raise InputError(f"{path}: metadata stride is {shown(stride)}; must be from 1 to {limits.KERNEL:,}")
    return names, stride


def read_scales(values: Mapping[str, Any], path: str | Path) -> Scales | None:
    """Return the Scales of a file that ends before its boxes are decoded, None for any other. Raises InputError."""
    if "anchors" not in values:
        return None
    strides, anchors = (_literal(values, key, path) for key in ("strides", "anchors"))
    try:
        return Scales(list(map(float, strides)), [[(float(w), float(h)) for w, h in scale] for scale in anchors])
    except (ValueError, TypeError):
        raise InputError(f"{path}: metadata strides or anchors are no numbers; must be exported by export.py") from None


def read_shape(values: Mapping[str, Any], path: str | Path) -> tuple[int, int]:
    """Return the (height, width) that a file was exported for from its metadata. Raises InputError."""
    shape = _literal(values, "imgsz", path)
    right = isinstance(shape, (list, tuple)) and len(shape) == 2 and all(type(side) is int for side in shape)
    if not right:
        raise InputError(f"{path}: metadata imgsz is {shown(shape)}; must be [height, width]")
    return shape[0], shape[1]


def _literal(values: Any, key: str, path: str | Path) -> Any:
    """Return the plain value that the text of a key spells; anything but text as it is. Raises InputError."""
    if not isinstance(values, Mapping) or key not in values:
        raise InputError(f"{path}: no metadata {key!r}; must be exported by export.py of YOLOv5")
    value = values[key]
    if not isinstance(value, str):
        return value
    if len(value) > limits.TEXT_BYTES:
        raise InputError(f"{path}: metadata {key}: {len(value):,} characters; must be at most {limits.TEXT_BYTES:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser remarks on strange spellings
            return ast.literal_eval(value)
    except Exception:  # noqa: BLE001 the parser has errors of many kinds, a full stack among them
        raise InputError(
            f"{path}: metadata {key}: {shown(value)} is unreadable; must be exported by export.py"
        ) from None
