"""Who teaches where nobody is named: the network that sparse training begins with, or that a cut came from."""

from pathlib import Path

import pytest

from tests.utils.teaching.students import named
from tests.utils.training.runs import options
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import RunFolder
from utils.finetuning.finetune import finetune
from utils.finetuning.options import FinetuneOptions
from utils.sparsity.options import SparsityOptions
from utils.sparsity.train_sparsity import advised_hooks, train_sparsity
from utils.teaching.hooks import find_teacher, teaching_hooks
from utils.teaching.options import TAUGHT_BY
from utils.training.loop import Hook
from utils.training.train import train

COLOURS = "blue", "green", "red"


@pytest.fixture
def dense(tmp_path, tiny_cfg):
    """The file of a network with the classes of the drawn images."""
    save_checkpoint(tmp_path / "dense.pt", finished_content(named(tiny_cfg, *COLOURS)))
    return tmp_path / "dense.pt"


@pytest.fixture
def given(tmp_path, drawn_data, tiny_yaml, dense):
    """A function that returns options of a class that start from the dense network."""

    def prepare(kind, **more):
        chosen = {"weights": str(dense), "cfg": "", "noautoanchor": False, **more}
        return options(tmp_path, drawn_data, tiny_yaml, kind, **chosen)

    return prepare


def keep(network, file, **entries):
    """Write a network whose yaml says more."""
    network.yaml = {**network.yaml, **entries}
    save_checkpoint(file, finished_content(network))
    return str(file)


def test_sparse_training_is_taught_by_its_start(given, dense, capsys):
    run = train_sparsity(given(SparsityOptions, st=True, sr="auto", target_flops=0.95, round=2, epochs=2))
    assert run.log["train/distill_loss"] >= 0
    assert f"teacher: {dense}, " in capsys.readouterr().out
    for file in (run.folder.last, run.folder.best_sparse):
        assert load_checkpoint(file).model.yaml[TAUGHT_BY] == str(dense)
        assert find_teacher(given(FinetuneOptions, weights=str(file)), print)[0] == dense


def test_fine_tuning_is_taught_by_what_was_cut(given, dense, tiny_cfg, tmp_path, capsys):
    cut = keep(named(tiny_cfg, *COLOURS), tmp_path / "cut.pt", taught_by=str(dense))
    run = finetune(given(FinetuneOptions, weights=cut, epochs=1))
    assert "train/distill_loss" in run.log and f"teacher: {dense}, " in capsys.readouterr().out
    nobody = finetune(given(FinetuneOptions, weights=cut, epochs=1, teacher="none"))
    assert "train/distill_loss" not in nobody.log


@pytest.mark.parametrize("names", [("a", "b", "c"), ("blue", "green")])
def test_a_start_with_other_classes_does_not_teach(given, tiny_cfg, tmp_path, names):
    other = keep(named(tiny_cfg, *names), tmp_path / "other.pt")
    assert find_teacher(given(SparsityOptions, st=True, sr="auto", target=0.5, weights=other), print) is None


def test_the_classic_penalty_and_plain_fine_tuning_have_no_teacher(given):
    assert teaching_hooks(given(SparsityOptions, st=True, sr="0.01")) == []
    assert teaching_hooks(given(FinetuneOptions)) == []


@pytest.mark.parametrize(
    "name, words",
    [
        ("gone.pt", "gone.pt, which cut.pt comes from: is not there"),
        (".", "is not there"),
        ("/dev/zero", "/dev/zero, which cut.pt comes from: is not there"),
        ("text.pt", "text.pt, which cut.pt comes from: "),
    ],
)
def test_a_teacher_that_cannot_be_read_is_named(given, tiny_cfg, tmp_path, name, words):
    (tmp_path / "text.pt").write_text("no checkpoint")
    place = name if name.startswith("/") else str(tmp_path / name)
    cut, lines = keep(named(tiny_cfg, *COLOURS), tmp_path / "cut.pt", taught_by=place), []
    assert teaching_hooks(given(FinetuneOptions, weights=cut), lines.append) == []
    assert len(lines) == 1 and words in lines[0] and "--teacher FILE names another" in lines[0]


@pytest.mark.parametrize("value", [7, ["a"], None, ""])
def test_what_is_no_path_is_no_teacher(given, tiny_cfg, tmp_path, value):
    cut = keep(named(tiny_cfg, *COLOURS), tmp_path / "cut.pt", taught_by=value)
    assert teaching_hooks(given(FinetuneOptions, weights=cut), lambda line: None) == []


def test_a_remembered_teacher_that_does_not_fit_is_left_out(given, tiny_cfg, tmp_path, capsys):
    other = keep(named(tiny_cfg, "x", "y", "z"), tmp_path / "other.pt")
    cut = keep(named(tiny_cfg, *COLOURS), tmp_path / "cut.pt", taught_by=other)
    run = finetune(given(FinetuneOptions, weights=cut, epochs=1))
    assert "no teacher: --teacher " in capsys.readouterr().out and "train/distill_loss" not in run.log
    with pytest.raises(InputError, match="knows none of the classes"):
        finetune(given(FinetuneOptions, weights=cut, epochs=1, teacher=other))


class PowerCut(Hook):
    """Ends the run in its second epoch."""

    def before_epoch(self, run):
        if run.epoch:
            raise KeyboardInterrupt


def interrupted(options, hooks):
    """Begin a run that is cut short; return its last.pt."""
    with pytest.raises(KeyboardInterrupt):
        train(options, hooks=[*hooks(options, print), PowerCut()], transfer=False)
    return RunFolder(Path(options.project) / options.name).last


def test_a_resumed_run_goes_on_with_its_teacher_and_says_when_that_is_gone(given, dense):
    goal = {"st": True, "sr": "auto", "target_flops": 0.95, "round": 2}
    whole = train_sparsity(given(SparsityOptions, name="whole", **goal))
    last = interrupted(given(SparsityOptions, **goal), advised_hooks)
    kept = dense.read_bytes()
    dense.unlink()
    with pytest.raises(InputError, match="the run has a teacher, which is missing; put its file back"):
        train_sparsity(SparsityOptions(resume=str(last)))
    dense.write_bytes(kept)
    resumed = train_sparsity(SparsityOptions(resume=str(last)))
    assert resumed.log["train/distill_loss"] == whole.log["train/distill_loss"]


def test_a_resumed_run_without_a_teacher_needs_nothing_of_its_start(given, tiny_cfg, tmp_path):
    start = keep(named(tiny_cfg, *COLOURS), tmp_path / "start.pt")
    last = interrupted(given(FinetuneOptions, weights=start), teaching_hooks)
    Path(start).unlink()
    assert "train/distill_loss" not in finetune(FinetuneOptions(resume=str(last))).log
