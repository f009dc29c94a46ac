"""report.html: what a cut did, on one page that needs no network, no script and no other file."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from utils.pictures.charts import Dot, Figure, curve, histogram, scatter
from utils.pictures.html import as_address, render, short_name, shown

OPEN = 12  # charts of a kind that are shown at once; the others unfold


class Row(NamedTuple):
    """A row of the table of both networks: a number of each, and what is left of it."""

    title: str
    cells: Sequence[str]
    left: str


def page(findings: Mapping[str, Any], picture: bytes | None = None) -> str:
    """Return the page (HTML text) for the mapping that utils.pruning.report.findings.collect returns.

    picture: of the worst photos, the bytes of a JPEG file; None: there is none.
    """
    return render(
        "pruning.html",
        title=f"Pruning report: {findings['out']}",
        refresh=None,
        findings=findings,
        tone=tone(findings["faster"], findings["accurate"]),
        totals=totals(findings),
        speed=speed(findings),
        gammas=gammas(findings),
        sensitivity=sensitivity(findings),
        open=OPEN,
        picture=picture and as_address(picture),
    )


def tone(faster: bool | None, accurate: bool | None) -> str:
    """Return the verdict's class in the style sheet: good only when the cut gained time and kept the accuracy."""
    if faster is False or accurate is False:
        return "bad"
    return "good" if faster and accurate else ""


def totals(findings: Mapping[str, Any]) -> list[Row]:
    """Return the rows of both networks' sizes, times and accuracies."""
    size, networks = findings["imgsz"], findings["networks"]
    rows = (
        ("parameters", "{:,}", [n["parameters"] for n in networks]),
        (f"GFLOPs at {size} px", "{:.2f}", [n["gflops"] for n in networks]),
        ("file, MB", "{:.2f}", [n["file"]["bytes"] / 1e6 for n in networks]),
        (f"ms an image at {size} px", "{:.1f}", [n["ms"] for n in networks]),
        ("mAP50", "{:.3f}", [n["map50"] for n in networks]),
        ("mAP50-95", "{:.3f}", [n["map50_95"] for n in networks]),
    )
    return [Row(title, [shown(v, form) for v in values], left(title, values)) for title, form, values in rows]


def left(title: str, values: Sequence[float | None]) -> str:
    """Return what is left of the first of some values in the last: a difference of mAP, a share of all else."""
    first, last = values[0], values[-1]
    if first is None or last is None:
        return ""
    if title.startswith("mAP"):
        return f"{last - first:+.3f}"
    return f"{last / first:.0%}" if first else ""


def speed(findings: Mapping[str, Any]) -> list[Figure]:
    """Return the charts of accuracy over time, none when either was not measured or nothing is found at all."""
    networks = [n for n in findings["networks"] if n["ms"] is not None and n["map50"] is not None]
    figures = []
    if any(n["map50"] for n in networks):
        points = [Dot(n["ms"], n["map50"], n["name"], n["name"]) for n in networks]
        chart = scatter(points, "ms an image", "mAP50", "Accuracy over time")
        figures.append(Figure(chart, f"This cut, {findings['measured_on']}."))
    depths = findings["trade_off"]
    if depths and any(p["map50"] for p in depths["points"]):
        points = [Dot(p["ms"], p["map50"], p["name"], "depth") for p in sorted(depths["points"], key=lambda p: p["ms"])]
        chart = scatter(points, "ms an image", "mAP50", "Accuracy over time of deeper cuts")
        about = f"share of the FLOPs left; {depths['images']} images, nothing trained"
        figures.append(Figure(chart, f"Deeper cuts with the same scores: {about}."))
    return figures


def gammas(findings: Mapping[str, Any]) -> list[Figure]:
    """Return the histogram of |gamma| of every batch norm."""
    figures = []
    for row in findings["gammas"]:
        total, gone = sum(row["kept"]) + sum(row["removed"]), sum(row["removed"])
        chart = histogram(row["kept"], row["removed"], row["high"], f"{row['layer']}: gammas")
        figures.append(Figure(chart, f"{short_name(row['layer'])}: {gone} of {total} go"))
    return figures


def sensitivity(findings: Mapping[str, Any]) -> list[Figure]:
    """Return the curves of accuracy against the share of one group that is silenced, the most sensitive first."""
    found = findings["sensitivity"]
    if not found:
        return []
    top = max([found["before"], *(v for row in found["curves"] for v in row["map50"])]) or 1.0
    figures = []
    for row in found["curves"]:
        xs, ys = (0, *row["shares"]), (found["before"], *row["map50"])
        chart = curve(xs, ys, top, f"{row['group']}: mAP50", "share removed")
        figures.append(Figure(chart, f"{short_name(row['group'])}, {row['width']} channels"))
    return figures
