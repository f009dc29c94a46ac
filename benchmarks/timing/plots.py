"""A picture of how costs grow."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.timing.rows import Growth
from utils.files.atomic import write_atomically
from utils.pictures.figures import picture_bytes

UNITS = {"CPU s": "processor's time", "MB": "memory"}
DPI, COLOURS = 90, 64  # a picture in the documents stays small


def plot_growth(file: Path, found: Sequence[Growth]) -> None:
    """Write a panel for each of UNITS: each cost over the size, as multiples of the first, both logarithmic."""
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    for (unit, title), panel in zip(UNITS.items(), figure.subplots(1, len(UNITS))):
        draw(panel, [growth for growth in found if growth.unit == unit])
        panel.set(title=title, xlabel="size, times the smallest", ylabel="cost, times that of the smallest")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, few_colours(picture_bytes(figure, dpi=DPI)), durable=False)


def draw(panel: Any, found: Sequence[Growth]) -> None:
    """Draw the median of each Growth into a panel, and a grey line where it would be if it were linear."""
    largest = max((growth.sizes[-1] / growth.sizes[0] for growth in found), default=1)
    panel.loglog([1, largest], [1, largest], color="lightgrey", linewidth=6, label="linear")
    for growth in found:
        costs = np.median(growth.costs, 0)
        label = f"{growth.what}: {np.median(growth.exponents()):.2f}"
        panel.loglog(np.array(growth.sizes) / growth.sizes[0], costs / costs[0], "o-", markersize=4, label=label)
    panel.legend(title="exponent", loc="upper left", fontsize=8)


def few_colours(picture: bytes) -> bytes:
    """Return the bytes of a picture as a PNG with a palette, which takes less than half."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS).save(buffer, "png", optimize=True)
    return buffer.getvalue()
