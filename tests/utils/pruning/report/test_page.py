"""The page stands alone, is well formed, says what is missing, and escapes what users wrote."""

import re

import pytest

from utils.pruning.report.page import OPEN, page, tone


def network(name, ms=5.0, map50=0.5):
    parts = {"convolutions": 900_000, "structure": 100_000}
    return {
        "name": name,
        "parameters": 1_000_000,
        "gflops": 1.5,
        "ms": ms,
        "map50": map50,
        "map50_95": map50 and map50 / 2,
        "file": {"bytes": 1_000_000, "parts": parts},
    }


@pytest.fixture
def findings():
    layer = {"layer": "model.0.conv", "before": 16, "after": 8, "kept": 0.5, "protected": None}
    return {
        "verdict": "NOT FASTER: 5.0 → 5.0 ms an image, because <so>",
        "faster": False,
        "accurate": False,
        "runtime": "PyTorch",
        "weights": "a<b>.pt",
        "out": "pruned & small.pt",
        "imgsz": 320,
        "command": "python prune.py --protect 'model.<0>'",
        "notes": ["P5 dropped"],
        "worst": [],
        "measured_on": "72 images",
        "networks": [network("before"), network("after", map50=0.4)],
        "layers": [
            layer,
            {**layer, "layer": "model.24.m.0", "after": 16, "kept": 1.0, "protected": 'the "predictions"'},
        ],
        "gammas": [
            {"layer": f"model.{i}.bn", "high": 1.5, "kept": [0, 3, 1], "removed": [4, 0, 0]} for i in range(OPEN + 3)
        ],
        "sensitivity": {
            "images": 8,
            "before": 0.5,
            "curves": [{"group": "model.0.conv", "width": 16, "shares": [0.25, 0.5], "map50": [0.4, 0.1]}],
        },
        "trade_off": {"images": 8, "points": [{"name": "90%", "gflops": 1, "ms": 4.0, "map50": 0.3}]},
    }


def test_the_first_line_is_the_verdict_and_all_numbers_are_there(findings, read_html):
    parser = read_html(page(findings))
    assert parser.texts[0] == "NOT FASTER: 5.0 → 5.0 ms an image, because <so>"
    text = " ".join(parser.texts)
    for words in (
        "a<b>.pt → pruned & small.pt",
        "1,000,000",
        "GFLOPs at 320 px 1.50 1.50 100%",
        "mAP50 0.500 0.400 -0.100",
        "mAP50-95 0.250 0.200 -0.050",
        "ms an image at 320 px 5.0 5.0 100%",
        "convolutions 900 900",
        "0 16 → 8 50%",
        "24.m.0 · 16 → 16 100%",
        "0: 4 of 8 go",
        "3 more",
        "P5 dropped",
        "--protect 'model.<0>'",
        "90%",
    ):
        assert words in text, words


def test_the_worst_photos_are_told_and_shown(findings, read_html):
    assert "Worst photos" not in page(findings)
    findings["worst"] = ["worst photos: on 1 of 2 photos", "  photo  labels", "  a<b>.jpg  3"]
    parser = read_html(page(findings, b"jpeg"))
    assert "worst photos: on 1 of 2 photos" in parser.texts and "a<b>.jpg  3" in " ".join(parser.texts)
    assert ("src", "data:image/jpeg;base64,anBlZw==") in parser.attributes
    assert "<img" not in page(findings)


def test_nothing_is_loaded_or_run(findings, read_html):
    html = page(findings)
    assert not re.search(r"https?:|url\(|@import|<script|<link|<img|\bon\w+=", html)
    assert {name for name, _ in read_html(html).attributes}.isdisjoint({"src", "href", "srcset"})
    assert "width=device-width" in html


def test_what_was_not_measured_is_said(findings, read_html):
    findings |= {
        "networks": [network("before", None, None), network("after", None, None)],
        "sensitivity": None,
        "trade_off": None,
    }
    findings |= {
        "gammas": [],
        "faster": None,
        "accurate": None,
        "verdict": "50% of the FLOPs are left; the time was not measured",
    }
    text = " ".join(read_html(page(findings)).texts)
    assert (
        "ms an image at 320 px not measured not measured" in text
        and "mAP50-95 not measured not measured" in text
        and "Gammas" not in text
        and "Sensitivity" not in text
        and "Speed against accuracy There is no chart" in text
    )


def test_a_network_that_finds_nothing_is_drawn_too(findings, read_html):
    findings["networks"] = [network("before", map50=0.0), network("after", map50=0.0)]
    findings["sensitivity"]["before"] = 0.0
    findings["sensitivity"]["curves"][0]["map50"] = [0.0, 0.0]
    findings["trade_off"]["points"][0]["map50"] = 0.0
    assert "Sensitivity" in " ".join(read_html(page(findings)).texts)


@pytest.mark.parametrize(
    ("faster", "accurate", "kind"),
    [(True, True, "good"), (True, False, "bad"), (False, True, "bad"), (True, None, ""), (None, True, "")],
)
def test_the_verdict_is_good_only_when_time_and_accuracy_are(findings, faster, accurate, kind):
    assert tone(faster, accurate) == kind
    assert f'<h1 class="{kind}">' in page({**findings, "faster": faster, "accurate": accurate})


def hostile(value, markup):
    """Return a copy of findings in which all texts and keys of tables are markup."""
    if isinstance(value, dict):
        return {
            k: {markup + p: n for p, n in v.items()} if k == "parts" else hostile(v, markup) for k, v in value.items()
        }
    if isinstance(value, list):
        return [hostile(v, markup) for v in value]
    return markup + value if isinstance(value, str) else value


@pytest.mark.parametrize("markup", ["<script>alert(1)</script>", "\"><script src=x onerror='a'>", "'><script>"])
def test_no_script_of_a_file_gets_into_the_page(findings, markup, read_html):
    html = page(hostile(findings, markup))
    assert "<script" not in html.lower() and "&lt;script" in html
    tags = re.compile(r"<[a-z][a-z0-9]*")
    assert sorted(tags.findall(html)) == sorted(tags.findall(page(findings)))
    texts = " ".join(read_html(html).texts)
    for words in (findings["weights"], findings["command"], "24.m.0", "convolutions", "after", "P5 dropped", "90%"):
        assert markup + words in texts or markup + "model." + words in texts, words


def test_the_page_is_no_wider_than_a_phone_whatever_the_names(findings, page_widths):
    long = {**hostile(findings, "a_long_name_without_any_gap" * 5), "networks": findings["networks"]}
    assert page_widths([page(findings), page(long)]) == [(390, 1200)] * 2
