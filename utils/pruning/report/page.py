"""report.html: what a cut did, on one page that needs no network, no script and no other file."""

from html import escape

from utils.pictures.style import STYLE
from utils.pictures.svg import curve, histogram, scatter

OPEN = 12  # charts of a kind that are shown at once; the others unfold
KEY = "".join(
    f'<span class="key" style="background:var(--{name})"></span>{word}'
    for name, word in (("kept", "stays"), ("gone", "goes"))
)


def page(findings):
    """Return the page (HTML text) for the mapping that utils.pruning.report.findings.collect returns."""
    sections = (head, totals, file_sizes, speed, channels, gammas, sensitivity, made)
    return document(f"Pruning report: {findings['out']}", [section(findings) for section in sections])


def document(title, sections, style="", refresh=None):
    """Return a page (HTML text) of sections (HTML), the empty ones left out.

    style: rules besides STYLE; refresh: seconds after which the browser reads the page again, None: never.
    """
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    body = "\n".join(filter(None, sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>"
        f"<body>\n{body}\n</body></html>\n"
    )


def head(findings):
    """Return the verdict and what was cut."""
    tone = {True: "good", False: "bad", None: ""}[findings["faster"]]
    notes = "".join(f"<p>{escape(note)}</p>" for note in findings["notes"])
    what = f"{findings['weights']} → {findings['out']}"
    return f'<h1 class="{tone}">{escape(findings["verdict"])}</h1><p class="soft">{escape(what)}</p>{notes}'


def totals(findings):
    """Return the table of both networks' sizes, times and accuracies."""
    size = findings["imgsz"]
    rows = [
        ("parameters", "parameters", "{:,}"),
        (f"GFLOPs at {size} px", "gflops", "{:.2f}"),
        ("file, MB", "megabytes", "{:.2f}"),
        (f"ms an image at {size} px", "ms", "{:.1f}"),
        ("mAP50", "map50", "{:.3f}"),
        ("mAP50-95", "map50_95", "{:.3f}"),
    ]
    networks = [{**n, "megabytes": n["file"]["bytes"] / 1e6} for n in findings["networks"]]
    lines = []
    for title, key, form in rows:
        values = [n[key] for n in networks]
        cells = "".join(f"<td>{'–' if v is None else form.format(v)}</td>" for v in values)
        ratio = "" if None in values or not values[0] or key.startswith("map") else f"{values[-1] / values[0]:.0%}"
        if key.startswith("map") and None not in values:
            ratio = f"{values[-1] - values[0]:+.3f}"
        lines.append(f"<tr><td>{title}</td>{cells}<td>{ratio}</td></tr>")
    names = "".join(f"<th>{escape(n['name'])}</th>" for n in networks)
    times, images = escape(findings["runtime"]), escape(findings["measured_on"])
    note = f'<p class="soft">Times: {times}, both networks in turns, medians. mAP: {images}.</p>'
    return f"<h2>Before and after</h2><table><tr><th></th>{names}<th>left</th></tr>{''.join(lines)}</table>{note}"


def file_sizes(findings):
    """Return the table of what takes the room in both files."""
    files = [network["file"] for network in findings["networks"]]
    lines = []
    for part in files[0]["parts"]:
        cells = "".join(f"<td>{file['parts'][part] / 1e3:,.0f}</td>" for file in files)
        lines.append(f"<tr><td>{escape(part)}</td>{cells}</tr>")
    names = "".join(f"<th>{escape(n['name'])}, kB</th>" for n in findings["networks"])
    return f"<h2>File size</h2><table><tr><th></th>{names}</tr>{''.join(lines)}</table>"


def speed(findings):
    """Return the chart of accuracy over time, or nothing when either was not measured."""
    networks = [n for n in findings["networks"] if n["ms"] is not None and n["map50"] is not None]
    parts = []
    if any(n["map50"] for n in networks):
        points = [(n["ms"], n["map50"], n["name"], n["name"]) for n in networks]
        parts.append(
            figure(
                scatter(points, "ms an image", "mAP50", "Accuracy over time"), f"This cut, {findings['measured_on']}."
            )
        )
    depths = findings["trade_off"]
    if depths and any(p["map50"] for p in depths["points"]):
        points = [(p["ms"], p["map50"], p["name"], "depth") for p in sorted(depths["points"], key=lambda p: p["ms"])]
        caption = (
            f"Deeper cuts with the same scores: share of the FLOPs left; {depths['images']} images, nothing trained."
        )
        parts.append(figure(scatter(points, "ms an image", "mAP50", "Accuracy over time of deeper cuts"), caption))
    return f'<h2>Speed against accuracy</h2><div class="cards">{"".join(parts)}</div>' if parts else ""


def channels(findings):
    """Return a bar for every convolution: the share of its channels that stays, and the numbers."""
    lines = []
    for row in findings["layers"]:
        note = f' title="protected: {escape(row["protected"], quote=True)}"' if row["protected"] else ""
        bar = f'<i><u style="width:{row["kept"]:.1%}"></u></i>'
        name = escape(short(row["layer"])) + (" ·" if row["protected"] else "")
        lines.append(
            f'<div class="layer"{note}><b>{name}</b>{bar}'
            f"<span>{row['before']} → {row['after']}</span><span>{row['kept']:.0%}</span></div>"
        )
    note = f'<p class="soft">Output channels of every convolution.{KEY}. A dot marks layers that may not be cut.</p>'
    return f"<h2>Channels kept</h2>{note}{''.join(lines)}"


def gammas(findings):
    """Return the histogram of |gamma| of every batch norm, or nothing when there is none."""
    if not findings["gammas"]:
        return ""
    charts = []
    for row in findings["gammas"]:
        total, gone = sum(row["kept"]) + sum(row["removed"]), sum(row["removed"])
        chart = histogram(row["kept"], row["removed"], row["high"], f"{row['layer']}: gammas")
        charts.append(figure(chart, f"{short(row['layer'])}: {gone} of {total} go"))
    note = f'<p class="soft">Batch norm weights of the network before the cut, one chart a layer.{KEY}.</p>'
    return f"<h2>Gammas</h2>{note}{cards(charts)}"


def sensitivity(findings):
    """Return the curves of accuracy against the share of one group that is silenced, the most sensitive first."""
    found = findings["sensitivity"]
    if not found:
        return ""
    top = max([found["before"], *(v for curve in found["curves"] for v in curve["map50"])]) or 1.0
    charts = []
    for row in found["curves"]:
        chart = curve(
            (0, *row["shares"]), (found["before"], *row["map50"]), top, f"{row['group']}: mAP50", "share removed"
        )
        charts.append(figure(chart, f"{short(row['group'])}, {row['width']} channels"))
    note = (
        f'<p class="soft">mAP50 on {found["images"]} images when a share of one group\'s channels, the weakest, is '
        "silenced and all other groups are whole. The most sensitive come first.</p>"
    )
    return f"<h2>Sensitivity</h2>{note}{cards(charts)}"


def made(findings):
    """Return the command that made the cut."""
    return f"<h2>Made with</h2><p><code>{escape(findings['command'])}</code></p>"


def figure(chart, caption):
    """Return a chart with its caption as HTML."""
    return f"<figure>{chart}<figcaption>{escape(caption)}</figcaption></figure>"


def cards(charts):
    """Return charts side by side, those after the first OPEN folded away."""
    first, rest = (f'<div class="cards">{"".join(some)}</div>' for some in (charts[:OPEN], charts[OPEN:]))
    more = f"<details><summary>{len(charts) - OPEN} more</summary>{rest}</details>"
    return first + (more if len(charts) > OPEN else "")


def short(name):
    """Return a layer's name without what all of them have in common."""
    return name.removeprefix("model.").removesuffix(".conv").removesuffix(".bn")
