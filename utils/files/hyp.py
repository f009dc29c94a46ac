"""Hyper-parameter files: the numbers of data/hyps/*.yaml, checked."""

from pathlib import Path
from typing import Any

from utils.errors import InputError
from utils.files.paths import find_file
from utils.files.yaml import read_mapping

# name: (smallest, largest) allowed value; the defaults fill keys that older files lack.
LIMITS = {
    "lr0": (1e-12, 1e3),
    "lrf": (0, 1),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 1),
    "warmup_epochs": (0, 1e4),
    "warmup_momentum": (0, 0.9999),
    "warmup_bias_lr": (0, 1e3),
    "box": (0, 1e3),
    "cls": (0, 1e3),
    "cls_pw": (1e-6, 1e3),
    "obj": (0, 1e3),
    "obj_pw": (1e-6, 1e3),
    "iou_t": (0, 1),
    "anchor_t": (1, 100),
    "fl_gamma": (0, 10),
    "hsv_h": (0, 1),
    "hsv_s": (0, 1),
    "hsv_v": (0, 1),
    "degrees": (0, 180),
    "translate": (0, 1),
    "scale": (0, 1),
    "shear": (0, 89),
    "perspective": (0, 0.01),
    "flipud": (0, 1),
    "fliplr": (0, 1),
    "mosaic": (0, 1),
    "mixup": (0, 1),
    "copy_paste": (0, 1),
}
OPTIONAL = {"anchors": (1, 100), "label_smoothing": (0, 0.9999)}
DEFAULTS = {
    "cls_pw": 1.0,
    "obj_pw": 1.0,
    "iou_t": 0.2,
    "fl_gamma": 0.0,
    "flipud": 0.0,
    "perspective": 0.0,
    "copy_paste": 0.0,
}


def load_hyp(name: str | Path) -> dict[str, float]:
    """Return {key: number} from a hyp yaml given by path or by its name in data/hyps.

    Raises InputError for an unknown or missing key, a value that is no number, and one outside its limits.
    """
    file = find_file(name, "data/hyps", what="hyp file")
    content = read_mapping(file, "a number for each hyper-parameter")
    known = LIMITS | OPTIONAL
    for key, value in content.items():
        if key not in known:
            raise InputError(f"{file}: unknown key {key!r}; known are {', '.join(known)}")
        check_number(file, key, value, *known[key])
    missing = [key for key in LIMITS if key not in content and key not in DEFAULTS]
    if missing:
        raise InputError(f"{file}: missing key {', '.join(missing)}; see data/hyps/hyp.scratch-low.yaml")
    return DEFAULTS | content


def check_number(file: Path, key: str, value: Any, low: float, high: float) -> None:
    """Raise InputError unless value is a number from low to high."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{file}: {key}: {value!r} must be a number from {low:g} to {high:g}")
