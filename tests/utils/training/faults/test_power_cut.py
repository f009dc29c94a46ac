"""Trainings that are killed end as those that are not: a part of benchmarks/power_cut.py, which does it 200 times."""

from benchmarks.power_cut import cut_power
from benchmarks.small_runs import CASES


def test_killed_runs_resume_to_the_same_bits():
    case = next(case for case in CASES if case.script == "train_sparsity.py" and not case.workers)
    counts, failures = cut_power(3, 1, [case], say=lambda line: None)
    assert failures == []
    assert counts["equal"] == 3 and any(words.startswith("killed") for words in counts)
