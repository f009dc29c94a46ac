"""slim.html: how a slim.py run goes or went, on one page that needs no network, no script and no other file."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from utils.benchmark.latency import CONDITIONS
from utils.pictures.charts import Figure
from utils.pictures.html import as_address, render, shown
from utils.slimming.report.points import MEGA, SERIES, Point, delivered_point, newest_point, points_of, ratio, state_of
from utils.slimming.report.sentences import accuracy_kept, comparison, duration, headline, story, tails
from utils.slimming.report.svg import course_figure, latency_figure, norm_figures
from utils.slimming.state import SlimState

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


def page(run: SlimState, output: str | None, picture: bytes | None = None) -> str:
    """Return the page (HTML text) of a run's state.

    output: path of the best network so far, as a command would name it; None when there is none yet.
    picture: of the worst photos, the bytes of a JPEG file; None: there is none.
    """
    points = points_of(run)
    best, start, done = delivered_point(points), points[0], run.finished
    columns = columns_of(run)
    charts, missing = charts_of(points, best)
    attempts = [*run.steps, *([run.current] if run.current else [])]
    return render(
        "slimming.html",
        title=f"Slimming: {headline(run, best, start)}",
        refresh=None if done else REFRESH,
        series=SERIES,
        tone=tone(run, best, start),
        headline=headline(run, best, start),
        best_so_far=None if done else best_so_far(best, start),
        goal=run.goal,
        state=state(run),
        columns=columns,
        rows=rows_of(points, best, columns, done),
        units=units(run, points, columns),
        charts=charts,
        missing=missing,
        norms=norms(newest_point(points), start),
        worst=run.worst,
        picture=picture and as_address(picture),
        steps=[{"label": step.label, "state": state_of(step), "story": " ".join(story(step))} for step in attempts],
        settings=[(name, spelled(value)) for name, value in run.options.items()],
        next="Next" if done else "The best so far can be used already",
        commands=list(commands(run.options, output).values()) if output else [],
    )


def best_so_far(best: Point, start: Point) -> str | None:
    """Return the sentence on what an unfinished run has reached, or None when that is nothing yet."""
    return None if best is start else f"Best so far, step {best.label}: {comparison(best, start)}."


def tone(run: SlimState, best: Point, start: Point) -> str:
    """Return how the headline stands out: good only where a step was kept and the accuracy with it."""
    if not run.finished:
        return ""
    return "good" if best is not start and accuracy_kept(run, best, start) else "bad"


def state(run: SlimState) -> str:
    """Return for how long the run has worked, and why it is over if it is."""
    when = f"{duration(run.seconds)} of work, begun {run.begun.replace('T', ' ')[:16]}"
    if run.finished:
        return f"Finished after {when}" + (f": {run.reason.rstrip('.')}." if run.reason else ".")
    return f"After {when}. This page reads itself again every {REFRESH} seconds until the run is finished."


def columns_of(run: SlimState) -> Sequence[Column]:
    """Return the columns of the table: the usual ones, and the time in another runtime if that is the goal."""
    runtime = run.options.get("runtime")
    timed = runtime not in (None, "torch") and run.start.goal_ms is not None
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


def units(run: SlimState, points: Sequence[Point], columns: Sequence[Column]) -> str:
    """Return what the table's numbers mean, and the dashes if there are any."""
    size = run.options.get("imgsz")
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
    room = ", ".join(f"{name} ({share:.2f})" for name, share in tails(point.norms))
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


def commands(options: Mapping[str, Any], output: str) -> dict[str, str]:
    """Return {script: command} of the scripts that use the delivered network."""
    data = ["--data", options["data"]] if options.get("data") else []
    size = ["--imgsz", *listed(options["imgsz"])] if options.get("imgsz") else []
    flags = {
        "val.py": [*data, *size],
        "detect.py": ["--source", "folder/of/images", *size],
        "export.py": ["--include", "onnx", *data, *size],
    }
    return {
        script: shlex.join(map(str, ["python", script, "--weights", output, *words])) for script, words in flags.items()
    }


def listed(value: object) -> list[object]:
    """Return an option that is one value or several as a list."""
    return value if isinstance(value, list) else [value]
