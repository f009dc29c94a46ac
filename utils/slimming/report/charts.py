"""The charts of a slim.py run as PNG: what each step changed, accuracy over time, the filters' norms by layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from utils.benchmark.pareto import front
from utils.slimming.report.norms import shown_range
from utils.slimming.report.points import Point, courses, measured
from utils.slimming.report.sentences import layer_label

DPI = 130
NAMED = 16  # up to so many points, each one's label is written
LONG = 24  # characters of a layer's name that are shown
STYLES: dict[str, dict[str, Any]] = {
    "start": {"color": "#5c6773", "label": "start"},
    "kept": {"color": "#1f6feb", "label": "kept"},
    "undone": {"color": "#1f6feb", "markerfacecolor": "white", "label": "undone"},
}


def draw_course(points: Sequence[Point]) -> Figure:
    """Return the Figure of all measurements by step, the start's = 1; undone attempts are hollow and off the line."""
    figure, axes = canvas(9, 5)
    kept = [i for i, point in enumerate(points) if point.state != "undone"]
    undone = [i for i, point in enumerate(points) if point.state == "undone"]
    for series, found in courses(points):
        values = np.array(found, float)  # None becomes NaN
        line = [i for i in kept if not np.isnan(values[i])]
        style: dict[str, Any] = {"color": series.light, "markersize": 5}
        dashes = (0, tuple(map(int, series.dashes.split()))) if series.dashes else "-"
        axes.plot(line, values[line], marker="o", linestyle=dashes, label=series.title, **style)
        axes.plot(undone, values[undone], "o", markerfacecolor="none", **style)
    axes.set_xticks(*thinned(points))
    axes.set(xlabel="step (hollow: undone)", title="Each step, the start = 1.0")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    legend(axes, "Nothing is measured yet", loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def draw_latency(points: Sequence[Point]) -> Figure:
    """Return the Figure of mAP50-95 over milliseconds an image; a line joins what no other network beats in both."""
    figure, axes = canvas(8, 5)
    found = measured(points, "ms", "map")
    places = [(point.value("ms"), point.value("map")) for point in found]
    if found:
        axes.plot(*zip(*(places[i] for i in front(places))), color="#9aa5b1", linewidth=1, zorder=1)
    for state, style in STYLES.items():
        some = [place for place, point in zip(places, found) if point.state == state]
        if some:
            axes.plot(*zip(*some), "o", markersize=7, **style)
    for place, point in zip(places, found):
        if point.delivered:
            axes.plot(*place, "o", markersize=15, markerfacecolor="none", color="#116329", label="delivered")
        if point.delivered or point.state == "start" or len(found) <= NAMED:
            axes.annotate(point.label, place, xytext=(7, 7), textcoords="offset points", fontsize=9)
    axes.set(
        xlabel="milliseconds an image",
        ylabel="mAP50-95",
        title="Accuracy over time; the line joins what nothing else beats",
    )
    axes.margins(x=0.12)  # room for the names
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    legend(axes, "Times or mAP are not measured", loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def draw_norms(point: Point, start: Point) -> Figure:
    """Return the Figure of the filters' L1 norms of a Point's network: a box and whiskers a layer, in their order.

    start: the Point whose medians are marked, where it has the layer.
    """
    norms, before = point.norms, {} if point is start else start.norms
    figure, axes = canvas(max(7, 0.18 * len(norms) + 2), 5.5)
    marks = [(place, before[name][2]) for place, name in enumerate(norms) if name in before]
    low, high = shown_range(norms, [value for _, value in marks])
    boxes = [dict(zip(("whislo", "q1", "med", "q3", "whishi"), np.clip(row, low, high))) for row in norms.values()]
    colour = STYLES["kept"]["color"]
    axes.bxp(
        boxes,
        positions=range(len(boxes)),
        widths=0.6,
        showfliers=False,
        showcaps=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": colour, "edgecolor": colour, "linewidth": 2},
        whiskerprops={"color": colour},
        medianprops={"color": "white"},
    )
    if marks:
        axes.plot(*zip(*marks), "_", color="#bc4c00", markersize=7, markeredgewidth=1.5, label="the start's median")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set(ylim=(low, high), xlim=(-1, max(len(norms), 1)), ylabel="mean |weight| of a filter")
    axes.set_xticks(range(len(norms)), [plain(name) for name in norms], rotation=90, fontsize=7)
    axes.set_title(f"Filters by layer: {'the start' if point.state == 'start' else f'after step {point.label}'}")
    axes.grid(axis="y", alpha=0.3)
    legend(axes, None if norms else "The filters are not measured yet", loc="lower left")
    return figure


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches and its axes."""
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def legend(axes: Axes, nothing: str | None, **place: Any) -> None:
    """Add a legend; where nothing was drawn, say so instead, if there is a word for it."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, **place)
    elif nothing:
        axes.text(0.5, 0.5, nothing, transform=axes.transAxes, ha="center", color="#5c6773")


def thinned(points: Sequence[Point]) -> tuple[range, list[str]]:
    """Return (places, labels) of an axis with one place for each of the Points; of many, some evenly spread."""
    places = range(0, len(points), -(-len(points) // NAMED))
    return places, [points[i].label for i in places]


def plain(name: str) -> str:
    """Return a layer's name for matplotlib, to which a dollar would begin a formula."""
    return layer_label(name, LONG).replace("$", r"\$")
