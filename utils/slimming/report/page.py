"""slim.html: how a slim.py run goes or went, on one page that needs no network, no script and no other file."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from utils.benchmark.latency import CONDITIONS
from utils.pictures.charts import Figure
from utils.pictures.html import render, shown
from utils.slimming.report.points import (
    MEGA,
    SERIES,
    Point,
    delivered_point,
    label_of,
    newest_point,
    points_of,
    ratio,
    state_of,
)
from utils.slimming.report.sentences import comparison, duration, headline, story, tails
from utils.slimming.report.svg import course_figure, latency_figure, norm_figures

REFRESH = 10  # seconds after which the page of an unfinished run is read again


class Column(NamedTuple):
    """A column of the table of networks: two lines of its head, the measurement, its unit and format."""

    over: str
    under: str
    key: str
    unit: float
    form: str


class Row(NamedTuple):
    """A row of the table of networks; kind: its class in the style sheet."""

    name: str
    cells: Sequence[str]
    kind: str


COLUMNS = (
    Column("mAP", "50", "map50", 1, "{:.3f}"),
    Column("mAP", "50-95", "map", 1, "{:.3f}"),
    Column("params", "M", "parameters", MEGA, "{:.3f}"),
    Column("GFLOPs", "", "gflops", 1, "{:.3f}"),
    Column("MB", "", "bytes", MEGA, "{:.2f}"),
    Column("ms", "", "ms", 1, "{:.1f}"),
)


def page(record: Mapping[str, Any], output: str | None) -> str:
    """Return the page (HTML text) of a slim.json record.

    output: path of the best network so far, as a command would name it; None when there is none yet.
    """
    points = points_of(record)
    best, start, done = delivered_point(points), points[0], record["finished"]
    columns = columns_of(record)
    charts, missing = charts_of(points, best)
    attempts = [*record["steps"], *filter(None, [record.get("current")])]
    return render(
        "slimming.html",
        title=f"Slimming: {headline(record, best, start)}",
        refresh=None if done else REFRESH,
        series=SERIES,
        tone=("bad" if best is start else "good") if done else "",
        headline=headline(record, best, start),
        best_so_far=None if done else best_so_far(best, start),
        goal=record["goal"],
        state=state(record),
        columns=columns,
        rows=rows_of(points, best, columns, done),
        units=units(record, points, columns),
        charts=charts,
        missing=missing,
        norms=norms(newest_point(points), start),
        steps=[{"label": label_of(step), "state": state_of(step), "story": " ".join(story(step))} for step in attempts],
        settings=[(name, spelled(value)) for name, value in record["options"].items()],
        next="Next" if done else "The best so far can be used already",
        commands=commands(record["options"], output) if output else [],
    )


def best_so_far(best: Point, start: Point) -> str | None:
    """Return the sentence on what an unfinished run has reached, or None when that is nothing yet."""
    reached = comparison(best, start)
    return f"Best so far, step {best.label}: {reached}." if best is not start and reached else None


def state(record: Mapping[str, Any]) -> str:
    """Return for how long the run has worked, and why it is over if it is."""
    when = f"{duration(record['seconds'] or 0)} of work, begun {record['begun'].replace('T', ' ')[:16]}"
    if record["finished"]:
        return f"Finished after {when}" + (f": {record['reason'].rstrip('.')}." if record["reason"] else ".")
    return f"After {when}. This page reads itself again every {REFRESH} seconds until the run is finished."


def columns_of(record: Mapping[str, Any]) -> Sequence[Column]:
    """Return the columns of the table: the usual ones, and the time in another runtime if that is the goal."""
    runtime = record["options"].get("runtime")
    timed = runtime not in (None, "torch") and "goal_ms" in (record["start"] or {})
    return [*COLUMNS, Column("ms", runtime, "goal_ms", 1, "{:.1f}")] if timed else COLUMNS


def rows_of(points: Sequence[Point], best: Point, columns: Sequence[Column], done: bool) -> list[Row]:
    """Return the rows of the table: the start, each attempt, and what is delivered or the best so far."""
    rows = []
    for point in points:
        undone = point.state == "undone"
        rows.append(
            Row(f"{point.label}{' undone' if undone else ''}", cells(point, columns), "faint" if undone else "")
        )
    if best is not points[0]:
        rows.append(Row("delivered" if done else "best", cells(best, columns), "total"))
        rows.append(Row("of start", shares(best, points[0], columns), "faint"))
    return rows


def cells(point: Point, columns: Sequence[Column]) -> list[str]:
    """Return a Point's numbers."""
    values = [point.value(column.key) for column in columns]
    return [shown(v if v is None else v / c.unit, c.form, "–") for v, c in zip(values, columns)]


def shares(best: Point, start: Point, columns: Sequence[Column]) -> list[str]:
    """Return what is left of the start: shares, and differences of the accuracies."""
    found = []
    for key in (column.key for column in columns):
        if key.startswith("map"):
            now, before = best.value(key), start.value(key)
            found.append("" if now is None or before is None else f"{now - before:+.3f}")
        else:
            found.append(shown(ratio(best, start, key), "{:.0%}", ""))
    return found


def units(record: Mapping[str, Any], points: Sequence[Point], columns: Sequence[Column]) -> str:
    """Return what the table's numbers mean, and the dashes if there are any."""
    size = record["options"].get("imgsz")
    at = f" at {size} px" if size else ""
    gaps = any(point.value(column.key) is None for point in points for column in columns)
    return f"ms: an image{at}, {CONDITIONS}. GFLOPs{at}." + (" –: not measured." if gaps else "")


def charts_of(points: Sequence[Point], best: Point) -> tuple[list[Figure] | None, list[str]]:
    """Return the course by step and accuracy over time, and sentences for what is missing; None before a first step."""
    if len(points) == 1:
        return None, []
    found = (
        (course_figure(points, best), "The course by step cannot be drawn: the start was not measured."),
        (latency_figure(points), "Accuracy over time cannot be drawn: no network has a time and a mAP50-95 above 0."),
    )
    return [figure for figure, _ in found if figure], [words for figure, words in found if not figure]


def norms(point: Point, start: Point) -> dict[str, Any] | None:
    """Return the charts of the newest network's filter norms, and a hint where the next cut has room; None without."""
    figures = norm_figures(point, start)
    if not figures:
        return None
    which = "the start" if point.state == "start" else f"the network after step {point.label}"
    room = ", ".join(f"{name} ({share:.2f})" for name, share in tails(point.measure["l1"]))
    mark = "" if point is start else " Orange: the start's median."
    note = (
        f"Filters of {which}, by depth: mean magnitude of a filter's weights, smallest to largest (line), middle half "
        f"(bar), median (gap).{mark} A bar that reaches far to the left of its gap has many filters weaker than the "
        "rest: there a cut tends to cost least."
    )
    hint = f" The furthest, lower quartile over median: {room}." if room else ""
    return {"note": note + hint, "charts": figures}


def spelled(value: object) -> str:
    """Return a setting as it would be typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "–"
    return "–" if value in (None, "") else str(value)


def commands(options: Mapping[str, Any], output: str) -> list[str]:
    """Return the commands that use the delivered network."""
    data = ["--data", options["data"]] if options.get("data") else []
    size = ["--imgsz", *listed(options["imgsz"])] if options.get("imgsz") else []
    lines = [
        ["python", "val.py", "--weights", output, *data, *size],
        ["python", "detect.py", "--weights", output, "--source", "folder/of/images", *size],
        ["python", "export.py", "--weights", output, "--include", "onnx", *data, *size],
    ]
    return [shlex.join(map(str, line)) for line in lines]


def listed(value: object) -> list[object]:
    """Return an option that is one value or several as a list."""
    return value if isinstance(value, list) else [value]
