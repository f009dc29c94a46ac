"""prune.py's stages end to end on a tiny detector: budgets, dry runs, bad input."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.cli.options import parse
from utils.data.config import load_data
from utils.errors import InputError
from utils.files.checkpoint import checkpoint_bytes, finished_content, load_checkpoint
from utils.finetuning.options import FinetuneOptions
from utils.pruning import budget as module
from utils.pruning.choice.milliseconds import Rates
from utils.pruning.options import PruneOptions
from utils.pruning.prune import gentler_flags, next_line, prune_checkpoint
from utils.pruning.recipe import Recipe
from utils.pruning.report import write
from utils.validation.measure import validate


@pytest.fixture
def prune(tmp_path, tiny_cfg, stirred):
    """A function that prunes a stirred tiny detector with words of the command line; returns the Cut."""
    config = {**tiny_cfg, "width_multiple": 0.25}
    torch.manual_seed(0)
    model = stirred(DetectionModel(config))
    model.names = {0: "blue", 1: "green", 2: "red"}
    weights, out = tmp_path / "in.pt", tmp_path / "out.pt"
    weights.write_bytes(checkpoint_bytes(finished_content(model)))

    def run(*words, model=None):
        if model is not None:
            weights.write_bytes(checkpoint_bytes(finished_content(model)))
        given = [*("--noval" for _ in [0] if "--data" not in words), *map(str, words)]
        if "--weights" not in words:
            given += ["--weights", str(weights)]
        common = ["--imgsz", "64", "--device", "cpu", "--workers", "0", "--out", str(out)]
        return prune_checkpoint(parse(PruneOptions, [*common, *given]))

    run.out, run.weights, run.model = out, weights, model
    return run


def left_of(cut, count):
    return count(cut.after) / count(cut.before)


def test_without_a_budget_half_of_the_channels_go(prune):
    cut = prune("--max-layer-share", "0.9", "--round", "1", "--min-channels", "1")
    counts = cut.graph.channel_counts()
    removed = sum(int(counts[name][~mask].sum()) for name, mask in cut.keep.items())
    assert removed / cut.graph.prunable_channels() == pytest.approx(0.5, abs=0.02)
    assert count_parameters(load_checkpoint(prune.out).model) == count_parameters(cut.after)


def test_the_next_command_can_be_pasted_whatever_the_files_are_called():
    options = PruneOptions(data="my data's.yaml")
    python, script, *words = shlex.split(next_line(options, Path("a cut.pt"), 96).removeprefix("next: "))
    found = parse(FinetuneOptions, words)
    assert (python, script) == ("python", "finetune_pruned.py")
    assert (found.weights, found.data, found.imgsz) == ("a cut.pt", "my data's.yaml", 96)


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize(
    ("flag", "count"), [("--flops", lambda m: count_gflops(m, 64)), ("--params", count_parameters)]
)
def test_count_budgets(prune, flag, count, scope):
    cut = prune(flag, "0.6", "--round", "1", "--scope", scope)
    assert left_of(cut, count) == pytest.approx(0.6, rel=0.02)


def test_a_file_size(prune):
    size = prune.weights.stat().st_size / 1e6
    prune("--size-mb", 0.8 * size, "--round", "1")
    assert 0.75 * size < prune.out.stat().st_size / 1e6 <= 0.8 * size


def test_a_time(prune, monkeypatch, capsys):
    def slower_with_size(model, image_size, runtime):
        assert (image_size, runtime) == (64, "onnx")
        return 2 + count_parameters(model) / 1000

    def rates(graph, model, image_size, runtime, rng):  # all the time goes into kernels larger than 1 × 1
        assert (image_size, runtime) == (64, "onnx")
        return Rates((0.0, 1e-6, 0.0), 1.0, 4, image_size, 0.0)

    monkeypatch.setattr(module, "milliseconds", slower_with_size)
    monkeypatch.setattr(module, "fit_rates", rates)
    limit = 2 + 0.5 * count_parameters(prune.model) / 1000
    cut = prune("--latency-ms", limit, "--runtime", "onnx", "--round", "1")
    assert 0.4 < left_of(cut, count_parameters) <= 0.5
    assert all(mask.sum() % 4 == 0 for mask in cut.keep.values())  # the blocks that the time is paid for in
    told = capsys.readouterr().out
    assert f"{2 + count_parameters(cut.after) / 1000:.1f} ms an image in onnx" in told
    assert (
        f"at {left_of(cut, lambda m: count_gflops(m, 64)):.1%} of the FLOPs" in told
        and "the time was not measured" not in told
    )


def test_an_image_size_between_strides_is_rounded_up_as_val_does(prune, drawn_data, monkeypatch, capsys):
    sizes = []
    whole = write.validate
    monkeypatch.setattr(write, "validate", lambda *args, **kw: sizes.append(kw["imgsz"]) or whole(*args, **kw))
    prune("--data", drawn_data, "--imgsz", "80", "--percent", "0.2")
    assert sizes == [96, 96]
    assert capsys.readouterr().err.count("--imgsz 80: not a multiple of the stride 32; 96 is used") == 1


def test_a_coarse_grid_says_what_it_misses(prune, capsys):
    prune("--flops", "0.95", "--round", "16")
    assert "as near as steps of 16 channels come" in capsys.readouterr().out


def test_an_accuracy_budget_is_kept_and_used(prune, tiny_cfg, make_lively, label_by, capsys):
    model = make_lively({**tiny_cfg, "width_multiple": 0.25})
    config = load_data(label_by(model))
    model.names = config.names

    def accuracy(network):
        return validate(network, config, device="cpu", imgsz=64, batch_size=4, workers=0, progress=False).map

    words = ["--data", config.file, "--round", "1", "--min-channels", "1"]
    whole = accuracy(finished_content(model)["model"].float())
    cut, deepest = (prune("--max-drop", limit, *words, model=model) for limit in (0.1, 0.9))
    assert accuracy(deepest.after) < whole - 0.1 <= accuracy(cut.after)
    assert left_of(deepest, count_gflops) < 0.5 < left_of(cut, count_gflops) < 0.9
    assert "mAP50-95" in capsys.readouterr().out


def test_a_cut_that_ruins_the_network_is_made_only_when_asked_for(prune, tiny_cfg, make_lively, label_by):
    model = make_lively({**tiny_cfg, "width_multiple": 0.25})
    config = load_data(label_by(model))
    model.names = config.names
    words = ["--data", config.file, "--round", "1", "--min-channels", "1"]
    with pytest.raises(InputError, match=r"--flops 0\.\d+ keeps 90% of it") as error:
        prune(*words, model=model)
    assert not prune.out.exists()
    share = re.search(r"--flops (0\.\d+)", str(error.value)).group(1)

    def accuracy(network):
        return validate(network, config, device="cpu", imgsz=64, batch_size=4, workers=0, progress=False).map

    kept = prune("--flops", share, *words, model=model)
    assert accuracy(kept.after) >= 0.88 * accuracy(kept.before)  # FP16 and a last percent of the FLOPs
    assert accuracy(prune("--yes", *words, model=model).after) < 0.9 * accuracy(kept.before)


@pytest.mark.parametrize(
    "words",
    [
        ["--criterion", "taylor"],
        ["--criterion", "ablation"],
        ["--compensate", "mean"],
        ["--compensate", "lstsq"],
        ["--recalibrate", "4"],
    ],
)
def test_stages_that_look_at_images(prune, drawn_data, words):
    plain = prune("--flops", "0.6")
    cut = prune("--flops", "0.6", "--calib", "4", "--data", drawn_data, *words)
    assert left_of(cut, lambda m: count_gflops(m, 64)) < 0.65
    same_masks = all(np.array_equal(cut.keep[name], plain.keep[name]) for name in plain.keep)
    same_numbers = same_masks and all(
        torch.equal(a, b) for a, b in zip(cut.after.state_dict().values(), plain.after.state_dict().values())
    )
    assert same_masks == ("--criterion" not in words) and not same_numbers


def test_beta_needs_no_images(prune):
    plain, cut = prune("--flops", "0.6", "--compensate", "none"), prune("--flops", "0.6")  # beta is the default
    means = [model.state_dict()["model.1.bn.running_mean"] for model in (plain.after, cut.after)]
    assert means[0].shape == means[1].shape and not torch.equal(*means)


def test_one_cut_and_then_another_without_flags(prune):
    first = prune("--percent", "0.2")
    again = prune.out.rename(prune.out.with_name("first.pt"))
    second = prune("--percent", "0.2", "--weights", again)
    assert count_parameters(second.after) < count_parameters(first.after) == count_parameters(second.before)


def test_a_dry_run_writes_nothing(prune, capsys):
    before = sorted(prune.out.parent.rglob("*"))
    prune("--percent", "0.2", "--dry-run")
    assert sorted(prune.out.parent.rglob("*")) == before
    assert "nothing is written" in capsys.readouterr().out


def test_show_lists_the_groups_and_ends(prune, capsys):
    assert prune("--show") is None
    said = capsys.readouterr().out
    assert "model.2.cv1.conv" in said and "tied by" in said and "protected: its outputs are the predictions" in said
    assert not prune.out.exists()


def test_protected_layers_stay_whole(prune, capsys):
    cut = prune("--percent", "0.2", "--protect", "model.0", "*.cv3.conv")
    assert cut.after.model[0].conv.out_channels == 16 and cut.after.model[2].cv3.conv.out_channels == 16
    assert "protected: asked for by --protect *.cv3.conv" in capsys.readouterr().out


def test_the_ceiling_is_said_before_the_cut(prune, capsys):
    prune("--percent", "0.2")
    said = capsys.readouterr().out
    assert said.index("at most") < said.index("layer ")


def fused(model):
    return model.fuse()


def damaged(model):
    with torch.no_grad():
        model.model[1].bn.weight[0] = float("nan")
    return model


BAD = [
    (["--percent", "0.3", "--flops", "0.5"], "--percent and --flops: only one"),
    (["--flops", "0"], "--flops 0.0: must be above 0"),
    (["--flops", "0.01"], "--flops 0.01: 99.0% of the FLOPs cannot go: at most"),
    (["--params", "0.01"], "parameters cannot go: at most"),
    (["--size-mb", "0.001"], "--size-mb 0.001: cannot be met"),
    (["--percent", "0.99"], "--percent 0.99: 99.0% of the channels cannot go"),
    (["--max-drop", "0.1"], "--noval: --max-drop"),
    (["--runtime", "onnx"], "--runtime onnx: has no effect"),
    (["--protect", "model.99"], "--protect model.99: matches no layer"),
    (["--criterion", "taylor", "--aggregate", "max"], "--aggregate max: has no effect"),
    (["--criterion", "taylor", "--data", "nowhere.yaml"], "nowhere.yaml"),
    (["--compensate", "mean", "--data", "nowhere.yaml"], "nowhere.yaml"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input(prune, words, message):
    with pytest.raises(InputError) as error:
        prune(*words)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not prune.out.exists()


@pytest.mark.parametrize(("break_it", "message"), [(fused, "no batch norm"), (damaged, "model.1.bn.weight holds NaN")])
@pytest.mark.parametrize("criterion", ["bn", "l2"])
def test_bad_checkpoints(prune, break_it, message, criterion):
    with pytest.raises(InputError, match=message):
        prune("--criterion", criterion, model=break_it(prune.model))
    assert not prune.out.exists()


def test_a_file_that_is_no_checkpoint_is_refused_at_once(prune):
    with pytest.raises(InputError, match=r"must end with \.pt"):
        prune("--percent", "0.2", "--out", prune.out.with_suffix(".onnx"), "--weights", "nowhere.pt")


def test_advice_leaves_out_what_was_done():
    used = Recipe("taylor", power=0.5, compensate="lstsq")
    assert gentler_flags(used) == ""
    assert gentler_flags(Recipe("taylor")).endswith("or with --power 0.5 --compensate lstsq")


def test_data_of_other_classes_asks_for_data(prune, monkeypatch, drawn_data):
    monkeypatch.setattr(PruneOptions, "data", str(drawn_data))
    model = prune.model
    model.names = {0: "x", 1: "y", 2: "z"}
    with pytest.raises(InputError, match="give --data:"):
        prune("--data", drawn_data, model=model)


def test_calibration_needs_images(prune, drawn_data, tmp_path):
    config = yaml.safe_load(drawn_data.read_text())
    test_only = tmp_path / "test_only.yaml"
    test_only.write_text(
        yaml.safe_dump({**{k: v for k, v in config.items() if k not in ("train", "val")}, "test": "images/val"})
    )
    with pytest.raises(InputError, match="neither train nor val"):
        prune("--criterion", "fisher", "--data", test_only)
    assert not prune.out.exists()


def test_max_drop_is_refused_where_val_holds_no_object(prune, drawn_data):
    for file in (drawn_data.parent / "set/labels/val").iterdir():
        file.write_text("")
    with pytest.raises(InputError, match="--max-drop: .*val holds not one object"):
        prune("--data", drawn_data, "--max-drop", "0.1")
    assert not prune.out.exists()


def test_bad_label_rows_stop_prune_unless_they_are_to_be_left_out(prune, drawn_data):
    with (drawn_data.parent / "set/labels/val/0.txt").open("a") as file:
        file.write("\n7 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match=r"val/0\.txt:2: class 7"):
        prune("--data", drawn_data, "--percent", "0.1")
    assert not prune.out.exists()
    prune("--data", drawn_data, "--percent", "0.1", "--skip-bad-labels")
    assert prune.out.exists()


def test_a_full_disk_leaves_the_earlier_result_under_its_name(prune, tmp_path, on_full_disk):
    prune("--percent", "0.3")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    code, said = on_full_disk(lambda: prune("--percent", "0.3"))
    assert code == 2 and said.startswith(f"{tmp_path}/out.pt: cannot be written")
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
