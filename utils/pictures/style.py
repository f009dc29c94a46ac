"""The style sheet of the pruning report: one column on a phone, light or dark as the reader's system is."""

STYLE = """
:root{--ink:#1b1f24;--soft:#5c6773;--line:#d9dee4;--back:#fff;--card:#f5f7f9;--kept:#1f6feb;--gone:#c7ccd4;
--bad:#b42318;--good:#116329}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebef;--soft:#9aa5b1;--line:#343b44;--back:#14171b;--card:#1d2126;
--kept:#5a9bff;
--gone:#4a525c;--bad:#ff8f84;--good:#6fcf86}}
*{box-sizing:border-box}
body{margin:0 auto;padding:20px 16px 60px;max-width:960px;background:var(--back);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.35rem;line-height:1.3;margin:0 0 6px}h1.good{color:var(--good)}h1.bad{color:var(--bad)}
h2{font-size:1.1rem;margin:34px 0 4px}p{margin:4px 0 12px}.soft,figcaption,th{color:var(--soft)}
.soft{font-size:.9rem;overflow-wrap:anywhere}code{font-size:.85rem;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:500;font-size:.85rem}td,th{padding:5px 0 5px 10px;border-bottom:1px solid var(--line);text-align:right}
td:first-child,th:first-child{text-align:left;padding-left:0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,280px),1fr));gap:14px;margin:0}
figure{margin:0;background:var(--card);border-radius:8px;padding:10px 10px 4px;min-width:0}
figcaption{font-size:.82rem;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}svg text{fill:var(--soft)}
svg text.end{text-anchor:end}
svg text.middle{text-anchor:middle}svg .grid{stroke:var(--line)}svg .kept,svg .dot,svg .after{fill:var(--kept)}
svg .gone,svg .before{fill:var(--gone)}svg .before{stroke:var(--soft)}svg .line{fill:none;stroke:var(--kept);
stroke-width:2}
svg .depth{fill:var(--card);stroke:var(--kept)}svg .path{fill:none;stroke:var(--line)}
.layer{display:grid;grid-template-columns:minmax(0,11rem) 1fr 6.4rem 3rem;gap:10px;align-items:center;
font-size:.85rem;padding:2px 0}
.layer b{font-weight:400;overflow-wrap:anywhere}.layer i{display:block;height:10px;border-radius:3px;
background:var(--gone);overflow:hidden}
.layer u{display:block;height:10px;background:var(--kept)}.layer span{text-align:right;
font-variant-numeric:tabular-nums;white-space:nowrap}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 4px 0 10px}summary{cursor:pointer;
padding:8px 0;color:var(--kept)}
@media(max-width:560px){.layer{grid-template-columns:minmax(0,7.6rem) 1fr 5.2rem 2.6rem;gap:8px;font-size:.78rem}}
"""
