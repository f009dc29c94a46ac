"""Runs that are interrupted, resumed and concluded."""

import pytest
import torch
import yaml

from tests.utils.training.runs import PowerCut, options
from utils.errors import InputError
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import RunFolder
from utils.finetuning.options import FinetuneOptions
from utils.sparsity.options import SparsityOptions
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.plan import stored_options
from utils.training.resume import resolve
from utils.training.train import train


def test_a_run_that_was_ended_before_its_last_validation_is_concluded(tmp_path, drawn_data, tiny_yaml):
    run = train(options(tmp_path, drawn_data, tiny_yaml, epochs=1, noplots=False))
    made = [run.folder.results_png, run.folder.pr_curve, run.folder.gamma_png, run.folder.final_json]
    weights, rows = run.folder.last.read_bytes(), run.folder.results_csv.read_text()
    for file in made:
        file.unlink()
    again = train(TrainOptions(resume=str(run.folder.last)))
    assert all(file.is_file() for file in made)
    assert again.evaluation.map == run.evaluation.map
    assert (run.folder.last.read_bytes(), run.folder.results_csv.read_text()) == (weights, rows)
    with pytest.raises(InputError, match="this run is finished"):
        train(TrainOptions(resume=str(run.folder.last)))


def test_an_interrupt_while_checkpoints_are_written_loses_none(tmp_path, drawn_data, tiny_yaml):
    """last.pt comes last: whatever is interrupted before it, the resumed run writes again."""

    class Moments(Hook):
        def after_validation(self, run):
            if run.epoch:
                written.append((run.folder.epoch_checkpoint(0).stat().st_mtime_ns, run.folder.last.stat().st_mtime_ns))

    written = []
    train(options(tmp_path, drawn_data, tiny_yaml, epochs=2, save_period=1), hooks=[Moments()])
    ((epoch, last),) = written
    assert epoch < last


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path, drawn_data, tiny_yaml, optimizer, capsys):
    shared = {"optimizer": optimizer, "image_weights": True, "multi_scale": True}
    whole = train(options(tmp_path, drawn_data, tiny_yaml, name="whole", **shared), hooks=[PowerCut()])
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml, name="cut", **shared), hooks=[PowerCut(epoch=2)])
    last = RunFolder(tmp_path / "runs" / "cut").last
    assert load_checkpoint(last).entries["epoch"] == 1
    hook = PowerCut()
    resumed = train(TrainOptions(resume=str(last)), hooks=[hook])
    assert resumed.folder.path == tmp_path / "runs" / "cut"
    one, two = (run.optimizer.state_dict()["state"] for run in (whole, resumed))
    assert all(torch.equal(value, two[i][key]) for i, kept in one.items() for key, value in kept.items())
    for one, two in ((whole.model, resumed.model), (whole.ema.model, resumed.ema.model)):
        assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert hook.steps == resumed.step == whole.step
    assert resumed.best_fitness == whole.best_fitness
    assert resumed.folder.results_csv.read_text() == whole.folder.results_csv.read_text()


def test_an_interrupted_run_says_how_to_go_on(tmp_path, drawn_data, tiny_yaml, capsys):
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml), hooks=[PowerCut(epoch=0)])
    assert "--resume" not in capsys.readouterr().out  # nothing is kept yet
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml, name="cut"), hooks=[PowerCut(epoch=2)])
    last = RunFolder(tmp_path / "runs" / "cut").last
    assert capsys.readouterr().out.endswith(f"\nepochs 0 to 1 are kept; to go on: --resume {last}\n")


def test_a_flag_that_contradicts_the_run_to_resume_is_refused(tmp_path, drawn_data, tiny_yaml):
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml), hooks=[PowerCut(epoch=1)])
    last = str(tmp_path / "runs" / "exp" / "weights" / "last.pt")
    with pytest.raises(InputError, match="--epochs 7: the run to resume has 3; leave --epochs out"):
        resolve(TrainOptions(resume=last, epochs=7))
    found = resolve(TrainOptions(resume=last, workers=3, project="elsewhere"))
    assert found.workers == 3  # the machine may be another one


def test_bare_resume_finds_the_newest_run(tmp_path, drawn_data, tiny_yaml):
    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml), hooks=[PowerCut(epoch=1)])
    found = resolve(TrainOptions(resume="newest", project=str(tmp_path / "runs")))
    assert found.resume == str(tmp_path / "runs" / "exp" / "weights" / "last.pt")
    assert (found.epochs, found.imgsz, found.cache) == (3, 64, "ram")
    assert resolve(found) == found
    with pytest.raises(InputError, match=r"no \*/weights/last.pt in"):
        resolve(TrainOptions(resume="newest", project=str(tmp_path / "none")))
    opt = tmp_path / "runs" / "exp" / "opt.yaml"
    opt.write_text(opt.read_text().replace("epochs: 3", "epochs: three"))
    with pytest.raises(InputError, match="epochs: 'three' must be of type int"):
        resolve(found)


@pytest.mark.parametrize(
    ("began", "went_on", "script"),
    [
        (SparsityOptions, TrainOptions, "train_sparsity.py"),
        (TrainOptions, SparsityOptions, "train.py"),
        (FinetuneOptions, SparsityOptions, "finetune_pruned.py"),
    ],
)
def test_resuming_with_another_script_names_the_right_one(tmp_path, began, went_on, script):
    folder = RunFolder(tmp_path / "exp")
    folder.weights.mkdir(parents=True)
    folder.last.write_bytes(b"")
    folder.opt_yaml.write_text(yaml.safe_dump(stored_options(began())))
    with pytest.raises(InputError, match=f"python {script} --resume {folder.last} goes on with it"):
        resolve(went_on(resume=str(folder.last)))
    folder.opt_yaml.write_text(yaml.safe_dump({**stored_options(went_on()), "other": 1}))
    with pytest.raises(InputError, match="unknown key 'other'"):
        resolve(went_on(resume=str(folder.last)))


def test_a_run_whose_hooks_are_lacking_is_not_resumed(tmp_path, drawn_data, tiny_yaml):
    class GuardedFadeOut(PowerCut):
        """Has the name and a state of slim.py's."""

    with pytest.raises(KeyboardInterrupt):
        train(options(tmp_path, drawn_data, tiny_yaml), hooks=[GuardedFadeOut(epoch=1)])
    last = RunFolder(tmp_path / "runs" / "exp").last
    with pytest.raises(InputError, match="the run has a GuardedFadeOut; go on with slim.py"):
        train(TrainOptions(resume=str(last)))
