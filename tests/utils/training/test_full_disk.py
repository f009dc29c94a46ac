"""Trainings on a disk that is full: pictures and logs may be missing, checkpoints may not."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.utils.training.runs import options as made
from utils.errors import InputError
from utils.files.paths import RunFolder
from utils.training.logs.tensorboard import TensorBoardHook
from utils.training.loop import Hook
from utils.training.train import train

PICTURES = ("results.png", "labels.jpg", "gamma.png", "train_batch0.jpg", "val_batch0_pred.jpg", "PR_curve.png")


@pytest.fixture
def options(tmp_path, drawn_data, tiny_yaml):
    return made(tmp_path, drawn_data, tiny_yaml, batch_size=8, epochs=1, noplots=False, cache=None)


def test_pictures_that_cannot_be_written_do_not_end_a_training(options, tmp_path, capsys):
    class Obstacles(Hook):
        """Puts folders where the pictures would go."""

        def prepare(self, model):
            for name in PICTURES:
                (tmp_path / "runs/exp" / name).mkdir(parents=True)

    run = train(replace(options, exist_ok=True), hooks=[Obstacles()])
    assert run.folder.final_json.is_file() and run.folder.last.is_file()
    said = capsys.readouterr().err
    assert all(f"{run.folder.path / name}: cannot be written" in said for name in PICTURES)


def test_a_checkpoint_that_cannot_be_written_ends_it_and_the_last_one_stays(options, tmp_path, on_full_disk):
    train(replace(options, noplots=True))
    weights = RunFolder(tmp_path / "runs/exp").weights
    before = {path: path.read_bytes() for path in weights.iterdir()}
    again = replace(options, noplots=True, exist_ok=True)
    code, said = on_full_disk(lambda: train(again, quiet=True), limit=20_000)
    assert code == 2 and said.splitlines()[-1].startswith(f"{weights}/best.pt: cannot be written"), said
    assert {path: path.read_bytes() for path in weights.iterdir()} == before


def test_a_tensorboard_log_that_fails_is_given_up(tmp_path, capsys):
    class Full:
        def add_scalar(self, *values):
            raise OSError(28, "No space left on device")

        def close(self):
            raise AssertionError

    run = SimpleNamespace(folder=RunFolder(tmp_path), epoch=0, log={"a": 1.0})
    hook = TensorBoardHook(lambda *place: Full())
    hook.start(run)
    for moment in (hook.after_validation, hook.after_validation, hook.finish):
        moment(run)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_folder_that_cannot_be_made_is_refused(options):
    with pytest.raises(InputError, match="--project /dev/full: /dev/full is a file"):
        train(replace(options, project="/dev/full"))
