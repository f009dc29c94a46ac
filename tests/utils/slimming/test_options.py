"""The flags of slim.py: what excludes what, and the goal in words."""

import re

import pytest

from utils.cli.options import parse
from utils.errors import InputError
from utils.slimming.options import SlimOptions


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--flops 0.3 --params 0.4",
            "--flops and --params: exclude each other; give one, and --max-drop to guard the mAP",
        ),
        ("--flops 0.3 --latency-ms 4 --size-mb 1", "--flops and --latency-ms and --size-mb: exclude each other"),
        ("--flops 0", "--flops 0: must be above 0"),
        ("--size-mb 0", "--size-mb 0: must be above 0"),
        ("", "no goal: give one of --flops, --params, --latency-ms, --size-mb, or how far to go: --max-drop"),
        ("--steps 1 --batch 0", "--batch-size 0: must be at least 1"),
        ("--steps 1 --criterion taylor", "give --sparse-epochs 0"),
        ("--steps 1 --compensate lstsq", "give --sparse-epochs 0"),
        ("--steps 1 --runtime onnx", "--runtime onnx: has no effect without --latency-ms"),
        (
            "--steps 1 --no-distill --teacher a.pt",
            "--no-distill: there is no teacher; leave out --teacher and --unlabelled",
        ),
        ("--steps 1 --weights a.pt b.pt", "--weights a.pt b.pt: 2 files; give one, or --sweep to try all"),
        ("--sweep --flops 0.3", "--flops: --shares are the goals of a --sweep; leave it out"),
        ("--sweep --shares 0.3 0.3", "each value once"),
        ("--sweep --out a.pt", "--out a.pt: a --sweep has many results"),
    ],
)
def test_what_does_not_go_together(words, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        parse(SlimOptions, words.split()).check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--flops 1.5", "--flops 1.5: must be at most 1"),
        ("--max-drop 1", "--max-drop 1.0: must be below 1"),
        ("--share 0.01", "--share 0.01: must be at least 0.02"),
        ("--shares 0.3 1", "--shares 1.0: must be below 1"),
        ("--steps 0", "--steps 0: must be at least 1"),
        ("--finetune-epochs 0", "--finetune-epochs 0: must be at least 1"),
        ("--retries -1", "--retries -1: must be at least 0"),
        ("--max-dorp 1", "unrecognized arguments: --max-dorp"),
    ],
)
def test_values_out_of_range(words, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parse(SlimOptions, words.split())


def test_criteria_are_free_without_sparse_training():
    parse(
        SlimOptions, ["--steps", "1", "--sparse-epochs", "0", "--criterion", "taylor", "--compensate", "lstsq"]
    ).check()


def test_a_sweep_may_ask_for_a_time():
    parse(
        SlimOptions,
        ["--sweep", "--weights", "a.pt", "b.pt", "--latency-ms", "3", "--runtime", "onnx", "--max-drop", "0.02"],
    ).check()


@pytest.mark.parametrize(
    ("words", "goal"),
    [
        ("--flops 0.25 --max-drop 0.01", "FLOPs 0.25, mAP50-95 at most 0.01 lower"),
        ("--max-drop 0.01", "as small as can be, mAP50-95 at most 0.01 lower"),
        ("--latency-ms 3 --runtime onnx --min-map 0.5", "3 ms an image in onnx, mAP50-95 at least 0.5"),
    ],
)
def test_the_goal_in_words(words, goal):
    assert parse(SlimOptions, words.split()).goal_words() == goal


@pytest.mark.parametrize(
    ("words", "epochs"),
    [
        ("", (60, 60)),
        ("--epochs 5", (5, 5)),
        ("--epochs 5 --sparse-epochs 0", (0, 5)),
        ("--epochs 5 --finetune-epochs 60", (5, 60)),
        ("--finetune-epochs 7", (60, 7)),
    ],
)
def test_epochs_are_those_of_both_phases(words, epochs):
    options = parse(SlimOptions, ["--steps", "1", *words.split()])
    assert (options.sparse_epochs, options.finetune_epochs) == epochs
