"""Files made to harm, to every reader: a part of the cases of benchmarks/hostile.py, which runs them all."""

from benchmarks.hostile import run

EVERY = 30  # takes one case of so many


def test_every_reader_takes_a_file_or_refuses_it():
    counts, failures = run(lambda number: number % EVERY == 7)
    assert failures == []
    assert counts.total() >= 40
    assert {"checkpoint", "model yaml", "hyp yaml", "data yaml", "COCO json"} <= counts.keys()
