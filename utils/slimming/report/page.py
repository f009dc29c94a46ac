"""slim.html: how a slim.py run goes or went, on one page that needs no network, no script and no other file."""

import shlex
from html import escape

from utils.pruning.report.findings import RUNTIME
from utils.pruning.report.page import document, figure
from utils.slimming.report.points import MEGA, delivered_point, label_of, newest_point, points_of, ratio, state_of
from utils.slimming.report.sentences import comparison, duration, headline, story, tails
from utils.slimming.report.style import style
from utils.slimming.report.svg import course_chart, course_key, latency_chart, norm_charts

REFRESH = 10  # seconds after which the page of an unfinished run is read again
LATENCY = "Grey: start, blue: kept, hollow: undone, green ring: delivered. The line joins what no other beats in both."
COLUMNS = (
    ("mAP\n50", "map50", 1, "{:.3f}"),
    ("mAP\n50-95", "map", 1, "{:.3f}"),
    ("params\nM", "parameters", MEGA, "{:.3f}"),
    ("GFLOPs", "gflops", 1, "{:.3f}"),
    ("MB", "bytes", MEGA, "{:.2f}"),
    ("ms", "ms", 1, "{:.1f}"),
)


def page(record, output):
    """Return the page (HTML text) of a slim.json record.

    output: path of the best network so far, as a command would name it; None when there is none yet.
    """
    points = points_of(record)
    best, start = delivered_point(points), points[0]
    sections = [
        head(record, best, start),
        networks(record, points, best),
        charts(points, best),
        norms(newest_point(points), start),
        steps(record),
        settings(record),
        commands(record, output),
    ]
    title = headline(record, best, start)
    return document(f"Slimming: {title}", sections, style(), None if record["finished"] else REFRESH)


def head(record, best, start):
    """Return where the run stands, what it is to reach and what it has reached."""
    done = record["finished"]
    tone = "" if not done else "bad" if best is start else "good"
    parts = [f'<h1 class="{tone}">{escape(headline(record, best, start))}</h1>']
    reached = comparison(best, start)
    if not done and best is not start and reached:
        parts.append(f"<p>Best so far, step {escape(best.label)}: {escape(reached)}.</p>")
    parts.append(f"<p>Goal: {escape(record['goal'])}</p>" if record["goal"] else "")
    when = f"{duration(record['seconds'] or 0)} of work, begun {record['begun'].replace('T', ' ')[:16]}"
    state = f"After {when}. This page reads itself again every {REFRESH} seconds until the run is finished."
    if done:
        state = f"Finished after {when}" + (f": {record['reason'].rstrip('.')}." if record["reason"] else ".")
    return "".join(parts) + f'<p class="soft">{escape(state)}</p>'


def networks(record, points, best):
    """Return the table of all networks: the start, each attempt, and what is delivered."""
    columns = columns_of(record)
    rows = [table_row(f"{p.label}{' undone' * (p.state == 'undone')}", p, columns, p.state == "undone") for p in points]
    if best is not points[0]:
        rows.append(table_row("delivered" if record["finished"] else "best", best, columns, total=True))
        rows.append(shares_row(best, points[0], columns))
    names = "".join(f"<th>{escape(name).replace(chr(10), '<br>')}</th>" for name, *_ in columns)
    size = record["options"].get("imgsz")
    at = f" at {size} px" if size else ""
    note = f"ms: an image{at}, {RUNTIME}. GFLOPs{at}."
    table = f'<table class="networks"><tr><th>step</th>{names}</tr>{"".join(rows)}</table>'
    return f'<h2>Networks</h2><div class="wide">{table}</div><p class="soft">{escape(note)}</p>'


def columns_of(record):
    """Return the columns of the table: the usual ones, and the time in another runtime if that is the goal."""
    runtime = record["options"].get("runtime")
    timed = runtime not in (None, "torch") and "goal_ms" in (record["start"] or {})
    return [*COLUMNS, (f"ms\n{runtime}", "goal_ms", 1, "{:.1f}")] if timed else COLUMNS


def table_row(name, point, columns, faint=False, total=False):
    """Return the row of a Point; columns: see columns_of; faint and total: how it stands out."""
    cells = []
    for _, key, unit, form in columns:
        value = point.value(key)
        cells.append(f"<td>{'–' if value is None else form.format(value / unit)}</td>")
    kind = ' class="faint"' if faint else ' class="total"' if total else ""
    return f"<tr{kind}><td>{escape(name)}</td>{''.join(cells)}</tr>"


def shares_row(best, start, columns):
    """Return the row that says what is left of the start: shares, and differences of the accuracies."""
    cells = []
    for _, key, *_ in columns:
        if key.startswith("map"):
            values = (best.value(key), start.value(key))
            cells.append("" if None in values else f"{values[0] - values[1]:+.3f}")
        else:
            share = ratio(best, start, key)
            cells.append("" if share is None else f"{share:.0%}")
    return f'<tr class="faint"><td>of start</td>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def charts(points, best):
    """Return the course by step and accuracy over time, as far as they are measured, from the first step on."""
    shown = []
    if len(points) == 1:
        return ""
    if course := course_chart(points):
        now = "the start" if best is points[0] else f"step {best.label}"
        key = f'<p class="soft">{course_key(points, best)}</p>'
        shown.append(figure(course + key, f"The start = 1.0; hollow: undone. Numbers: {now}."))
    if latency := latency_chart(points):
        shown.append(figure(latency, LATENCY))
    return f'<h2>Step by step</h2><div class="cards">{"".join(shown)}</div>' if shown else ""


def norms(point, start):
    """Return the distributions of the newest network's filter norms, with a hint where the next cut has room."""
    parts = norm_charts(point, start)
    if not parts:
        return ""
    which = "the start" if point.state == "start" else f"the network after step {point.label}"
    room = ", ".join(f"{name} ({share:.2f})" for name, share in tails(point.measure["l1"]))
    mark = "" if point is start else " Orange: the start's median."
    note = (
        f"Filters of {which}, by depth: mean magnitude of a filter's weights, smallest to largest (line), middle half "
        f"(bar), median (gap).{mark} A bar that reaches far to the left of its gap has many filters weaker than the "
        "rest: there a cut tends to cost least."
    )
    hint = f" The furthest, lower quartile over median: {room}." if room else ""
    cards = "".join(figure(chart, f"{first} to {last}") for chart, first, last in parts)
    return f'<h2>Norms of the filters</h2><p class="soft">{escape(note + hint)}</p><div class="cards">{cards}</div>'


def steps(record):
    """Return what happened at each attempt, and so far at the one under way, in words."""
    parts = []
    for step in [*record["steps"], *filter(None, [record.get("current")])]:
        state = state_of(step)
        text = escape(" ".join(story(step)))
        parts.append(f'<h3 class="{state}">Step {label_of(step)}: <b>{state}</b></h3><p>{text}</p>')
    return f"<h2>What happened</h2>{''.join(parts) or '<p>No step is finished yet.</p>'}"


def settings(record):
    """Return all settings in force, folded away."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(spelled(value))}</dd>" for name, value in record["options"].items()
    )
    title = f"{len(record['options'])} settings in force"
    return f"<h2>Settings</h2><details><summary>{title}</summary><dl>{rows}</dl></details>"


def spelled(value):
    """Return a setting as it would be typed."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else "–" if value in (None, "") else str(value)


def commands(record, output):
    """Return the commands that use the delivered network."""
    if not output:
        return ""
    options = record["options"]
    data = ["--data", options["data"]] if options.get("data") else []
    size = ["--imgsz", *map(str, listed(options["imgsz"]))] if options.get("imgsz") else []
    lines = [
        ["python", "val.py", "--weights", output, *data, *size],
        ["python", "detect.py", "--weights", output, "--source", "folder/of/images", *size],
        ["python", "export.py", "--weights", output, "--include", "onnx", *data, *size],
    ]
    title = "Next" if record["finished"] else "The best so far can be used already"
    return f"<h2>{title}</h2>" + "".join(
        f"<pre><code>{escape(shlex.join(map(str, line)))}</code></pre>" for line in lines
    )


def listed(value):
    """Return an option that is one value or several as a list."""
    return value if isinstance(value, list) else [value]
