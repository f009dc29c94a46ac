"""A picture of how costs grow."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.timing.rows import Growth
from utils.pictures.figures import write_figure

ACROSS, DPI = 4, 60


def plot_growth(file: Path, found: Sequence[Growth]) -> None:
    """Write a panel for each Growth: the cost of every round over the size, both logarithmic, and the fitted line."""
    figure = Figure(figsize=(3.4 * ACROSS, 2.9 * math.ceil(len(found) / ACROSS)), layout="constrained")
    panels = figure.subplots(math.ceil(len(found) / ACROSS), ACROSS, squeeze=False).flat
    for growth, panel in zip(found, panels):
        costs = np.median(growth.costs, 0)
        slope, start = np.polyfit(np.log(growth.sizes), np.log(costs), 1)
        panel.loglog(growth.sizes, np.exp(start) * np.array(growth.sizes) ** slope, color="grey", linewidth=1)
        for each in growth.costs:
            panel.loglog(growth.sizes, each, "o", color="steelblue", markersize=4)
        panel.set_title(f"{growth.what}: exponent {slope:.2f}", fontsize=10)
        panel.set(xlabel=growth.of, ylabel=growth.unit)
    for panel in panels:
        panel.axis("off")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_figure(file, figure, dpi=DPI)
