"""prune.py without scales, classes and branches, its suggestion, and the files of its report."""

import json

import pytest
import torch
from torch import nn

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.cli.options import parse
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.pruning.options import PruneOptions
from utils.pruning.prune import prune_checkpoint

NAMES = {0: "blue", 1: "green", 2: "red"}


@pytest.fixture
def model(tiny_cfg, stirred):
    """Five layers at strides 8 and 16, one bottleneck with a shortcut, three classes."""
    model = stirred(DetectionModel({**tiny_cfg, "width_multiple": 0.25}))
    model.names = NAMES
    return model


@pytest.fixture
def prune(tmp_path, model):
    """A function that prunes this model with words of the command line and returns the Cut."""

    def run(*words):
        save_checkpoint(tmp_path / "in.pt", finished_content(model))
        common = [
            "--weights",
            tmp_path / "in.pt",
            "--imgsz",
            64,
            "--device",
            "cpu",
            "--workers",
            0,
            "--out",
            tmp_path / "out.pt",
        ]
        return prune_checkpoint(parse(PruneOptions, list(map(str, [*common, *words]))))

    return run


def findings(folder, name="out"):
    return json.loads((folder / f"{name}_report/report.json").read_text())


def test_scales_and_classes_go_and_no_channel_without_a_budget(prune, model, tmp_path, drawn_data, capsys):
    prune("--drop-scale", "p4", "--keep-classes", "red,blue", "--data", drawn_data)
    said = capsys.readouterr().out
    assert "classes kept: red, blue (2 of 3); mAP is that of these alone" in said
    assert "drawn.yaml: the model knows 2 of its 3 classes (red, blue); other labels do not count" in said
    assert "P4 dropped, P3 left; with it went layers 4" in said and "0 of" in said
    left = load_checkpoint(tmp_path / "out.pt").model
    assert left.names == {0: "red", 1: "blue"} and left.model[-1].nl == 1 and len(left.model) == 5
    found = findings(tmp_path)
    assert found["networks"][0]["parameters"] == count_parameters(model)
    assert found["networks"][1]["parameters"] == count_parameters(left)
    assert all(row["before"] == row["after"] for row in found["layers"])
    assert all(isinstance(n[key], float) for n in found["networks"] for key in ("ms", "map50", "map50_95"))
    assert len(found["notes"]) == 3


def test_a_budget_counts_what_scales_took(prune, model, drawn_data):
    cut = prune("--drop-scale", "P4", "--flops", "0.6", "--round", "1", "--noval", "--min-channels", "1")
    assert count_gflops(cut.after, 64) / count_gflops(model, 64) == pytest.approx(0.6, rel=0.02)


def test_branches_go(prune, tmp_path, drawn_data, capsys):
    cut = prune("--drop-branches", "1", "--data", drawn_data, "--noval")
    assert "model.2.m.0: left out; without it the outputs change by" in capsys.readouterr().out
    assert isinstance(load_checkpoint(tmp_path / "out.pt").model.model[2].m[0], nn.Identity)
    assert "model.2.m.0.cv1.conv" not in cut.graph.layers


def test_refitted_weights_make_up_for_a_branch_that_went(prune, model, drawn_data):
    def error(way):
        words = ["--drop-branches", "1", "--data", drawn_data, "--noval", "--calib", "8", "--compensate", way]
        with torch.no_grad():
            return float((prune(*words).after(images)[1][0] - wanted).square().mean())

    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model.eval()(images)[1][0]
    assert error("lstsq") < 0.7 * error("none")


def test_silent_branches_go_unasked(prune, model, tmp_path, capsys):
    norm = model.model[2].m[0].cv2.bn
    nn.init.zeros_(norm.weight), nn.init.zeros_(norm.bias)
    cut = prune("--percent", "0", "--noval")
    assert "model.2.m.0: its branch is silent; Identity takes its place" in capsys.readouterr().out
    image, before = torch.rand(1, 3, 64, 64), load_checkpoint(tmp_path / "in.pt").model
    with torch.no_grad():
        torch.testing.assert_close(cut.after(image)[1], before(image)[1], atol=1e-5, rtol=0)


def test_a_branch_that_the_cut_silences_goes_too(prune, model, capsys):
    # The branch only writes to the channels with the smallest gammas of the chain that it adds to.
    chain, branch = model.model[2].cv1.bn, model.model[2].m[0].cv2.bn
    with torch.no_grad():
        chain.weight[:] = torch.linspace(0.1, 1, len(chain.weight))
        branch.weight[:], branch.bias[:] = 0, 0
        branch.weight[0] = 1e-3
    cut = prune("--percent", "0.2", "--noval", "--min-channels", "1", "--round", "1", "--scope", "layer")
    assert isinstance(cut.after.model[2].m[0], nn.Identity)
    said = capsys.readouterr().out
    assert any(line.split()[:3] == ["model.2.m.0.cv2.conv", "8", "0"] for line in said.splitlines())


def test_the_report_lies_beside_and_earlier_ones_are_kept(prune, tmp_path, drawn_data, capsys):
    prune("--percent", "0.3", "--data", drawn_data)
    first = findings(tmp_path)
    prune("--percent", "0.1", "--noval")
    assert findings(tmp_path, "out_1") == first and (tmp_path / "out_1_report/report.html").is_file()
    second = findings(tmp_path)
    assert second["networks"][0]["ms"] is None and second["faster"] is None
    assert "--percent 0.1 " in second["command"] + " " and "--noval" in second["command"]
    said = capsys.readouterr().out
    assert f"report: {tmp_path / 'out_report/report.html'}" in said and first["verdict"] in said
    assert "the val images of" in first["measured_on"] and first["sensitivity"] is None


def test_sensitivity_is_in_the_report(prune, tmp_path, drawn_data, capsys):
    cut = prune("--percent", "0.3", "--data", drawn_data, "--sensitivity", "--min-channels", "1")
    found = findings(tmp_path)
    assert {c["group"] for c in found["sensitivity"]["curves"]} == {g.name for g in cut.graph.free_groups}
    assert found["sensitivity"]["images"] == 4
    names = [p["name"] for p in found["trade_off"]["points"]]
    assert names[:3] == ["100%", "90%", "75%"] and all(p["ms"] > 0 for p in found["trade_off"]["points"])
    assert "mAP50 with 50% of one group's channels silent" in capsys.readouterr().out
    assert "<h2>Sensitivity</h2>" in (tmp_path / "out_report/report.html").read_text()


def test_the_suggestion_needs_no_matching_classes(prune, tmp_path, drawn_data, model, capsys):
    model.names = {0: "x", 1: "y", 2: "z"}
    prune("--suggest-head", "--data", drawn_data)
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("drawn.yaml (train) at 64 px") and said[1].split()[0] == "scale" and len(said) == 5
    assert not (tmp_path / "out.pt").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--drop-scale", "P5"], "--drop-scale P5: the model has the scales P3, P4"),
        (["--drop-scale", "P3,P4"], "at least one of P3, P4 must stay"),
        (["--keep-classes", "dog"], "--keep-classes dog: no such class"),
        (["--drop-branches", "9"], "--drop-branches 9: the model has only 1 blocks"),
        (["--drop-branches", "x"], "--drop-branches x: must be a whole number"),
        (["--sensitivity", "--noval"], "--noval: --sensitivity is about validation results"),
    ],
)
def test_what_cannot_be_leaves_nothing_behind(prune, tmp_path, drawn_data, words, expected):
    with pytest.raises(InputError) as error:
        prune(*words, "--data", drawn_data)
    assert expected in str(error.value)
    assert not list(tmp_path.glob("out*"))


def test_a_dry_run_writes_no_report(prune, tmp_path):
    prune("--percent", "0.3", "--noval", "--dry-run")
    assert not list(tmp_path.glob("out*"))


def test_the_photos_that_get_worse_are_in_the_report(make_lively, tiny_cfg, label_by, tmp_path, capsys):
    lively = make_lively(tiny_cfg)
    lively.names = NAMES
    save_checkpoint(tmp_path / "in.pt", finished_content(lively))
    words = f"--weights {tmp_path}/in.pt --data {label_by(lively)} --imgsz 64 --device cpu --workers 0 --yes"
    run = f"{words} --percent 0.5 --min-channels 2 --round 1 --out {tmp_path}/out.pt"
    prune_checkpoint(parse(PruneOptions, run.split()))
    lines, picture = findings(tmp_path)["worst"], tmp_path / "out_report/worst.jpg"
    said = capsys.readouterr().out
    assert "the cut network is worse than the dense network on" in lines[0] and "\n".join(lines) in said
    assert f"the worst photos: {picture}" in said and picture.read_bytes().startswith(b"\xff\xd8")
    assert "data:image/jpeg;base64," in (tmp_path / "out_report/report.html").read_text()
    prune_checkpoint(parse(PruneOptions, [*run.split(), "--noval"]))
    assert findings(tmp_path)["worst"] == [] and not picture.exists() and (tmp_path / "out_1_report/worst.jpg").exists()
