"""What the page of a slim.py run adds to the style sheet of the pruning report."""

from utils.slimming.report.points import SERIES


def style():
    """Return the rules: a colour for each line of the course, in light and dark, and the marks of the charts."""
    light, dark = (
        "".join(f"--{s.key}:{colour};" for s, colour in zip(SERIES, tones))
        for tones in ([s.light for s in SERIES], [s.dark for s in SERIES])
    )
    lines = "".join(f"svg .{s.key}{{stroke:var(--{s.key});--tone:var(--{s.key})}}" for s in SERIES)
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{lines}{RULES}"


RULES = """
svg .series{fill:none;stroke-width:1.8}svg .mark{fill:var(--tone)}svg .hollow{fill:var(--card);stroke-width:1.3}
svg .undone{fill:var(--card);stroke:var(--kept)}svg .delivered{stroke:var(--good);stroke-width:4;paint-order:stroke}
svg .path{stroke:var(--soft)}svg .whisker{stroke:var(--kept)}svg .median{stroke:var(--card);stroke-width:1.5}
svg rect.kept{stroke:var(--kept);stroke-width:2}svg .reference{stroke:var(--ms);stroke-width:1.5}
.cards{grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr))}
.wide{overflow-x:auto}table.networks{font-size:.9rem}.networks td,.networks th{white-space:nowrap}
.networks th{vertical-align:bottom;line-height:1.25}tr.faint{color:var(--soft)}tr.total td{font-weight:600}
.entry{display:inline-block;margin-right:12px;white-space:nowrap}
.stroke{display:inline-block;width:18px;margin-right:5px;vertical-align:middle}
h3{font-size:1rem;margin:18px 0 2px}h3 b{font-weight:600}h3.kept b{color:var(--good)}h3.undone b{color:var(--bad)}
dl{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,2fr);gap:2px 12px;margin:6px 0;font-size:.85rem}
dt,dd{margin:0;overflow-wrap:anywhere}dt{color:var(--soft)}
pre{background:var(--card);border-radius:8px;padding:10px;margin:8px 0;white-space:pre-wrap;overflow-wrap:anywhere}
@media(max-width:560px){table.networks{font-size:.78rem}.networks th{font-size:.72rem}
.networks td+td,.networks th+th{padding-left:6px}}
"""
