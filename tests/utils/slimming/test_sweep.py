"""The runs of a sweep, its table and the sentence under it."""

from utils.slimming.options import SlimOptions
from utils.slimming.sweep import Row, planned_runs, recommendation, table


def row(model, share, file, accuracy, ms, unbeaten):
    return Row(model, share, file, 4 * (1 - share), int(2000 * (1 - share)), accuracy, ms, unbeaten)


ROWS = [
    row("n.pt", 0.0, "n/start.pt", 0.50, 8.0, True),
    row("n.pt", 0.5, "n/slim.pt", 0.495, 5.0, True),
    row("s.pt", 0.25, "s/slim.pt", 0.48, 6.0, False),
]


def test_every_model_is_slimmed_by_every_share(tmp_path):
    options = SlimOptions(
        sweep=True, weights=["a/best.pt", "b/best.pt", "c.pt"], shares=[0.3, 0.5], latency_ms=3, runtime="onnx"
    )
    runs = planned_runs(options, tmp_path)
    assert list(runs) == [f"{label}-{share}percent" for label in ("best1", "best2", "c") for share in (30, 50)]
    run = runs["best2-30percent"]
    assert (run.weights, run.flops, run.latency_ms, run.project, run.name) == (
        ["b/best.pt"],
        0.7,
        None,
        str(tmp_path),
        "best2-30percent",
    )
    for one in runs.values():
        one.check()


def test_the_table_goes_by_time_and_marks_what_is_unbeaten():
    lines = table(ROWS).splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["*", "n.pt", "0.50"], ["s.pt", "0.25", "3.000"]]
    assert lines[3].split() == ["*", "n.pt", "0.00", "4.000", "2,000", "8.00", "0.5000"]


def test_what_is_recommended():
    asked = SlimOptions(sweep=True, latency_ms=6)
    assert "n/slim.pt (n.pt, 50% of the FLOPs removed: 5.00 ms" in recommendation(asked, ROWS)
    assert recommendation(asked, ROWS).endswith("the most accurate within 6 ms in torch")
    assert "n/start.pt (n.pt, as it is" in recommendation(SlimOptions(sweep=True, latency_ms=9), ROWS)
    assert "none takes at most 1 ms in torch; the fastest is n/slim.pt" in recommendation(
        SlimOptions(sweep=True, latency_ms=1), ROWS
    )
    assert "n/slim.pt" in recommendation(SlimOptions(sweep=True), ROWS)  # within 0.01 of the most accurate
    assert "n/start.pt" in recommendation(SlimOptions(sweep=True, max_drop=0.001), ROWS)
