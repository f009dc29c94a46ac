"""The commands as users type them: the walk from data to a fine-tuned pruned detector, and what bad input gives."""

import csv
import os
import re
import shlex
import subprocess
import sys

import pytest
import torch
import yaml

from models.cost import count_parameters
from utils.data.shapes import draw_shapes
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import ROOT

SIZE = 64
CPU = ["--device", "cpu", "--workers", "0"]


def command(folder, script, *words):
    """Run a script in a folder; return the finished process."""
    line = [sys.executable, str(ROOT / script), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, env=environment, timeout=300)


def succeed(folder, script, *words):
    """Run a script that must succeed; return what it printed."""
    result = command(folder, script, *words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """The folder in which the whole walk-through has been run once, and what each command printed."""
    folder = tmp_path_factory.mktemp("walk")
    draw_shapes(folder / "datasets/shapes", train=24, val=8, imgsz=SIZE, seed=0)
    config = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**config, "width_multiple": 0.125}))
    data = ["--data", folder / "datasets/shapes/shapes.yaml", "--imgsz", SIZE]
    training = [*data, "--batch-size", 8, "--epochs", 2, *CPU]
    sparse = "runs/train/sparse/weights/last.pt"
    said = {
        "train": succeed(folder, "train.py", "--weights", "", "--cfg", "tiny.yaml", "--name", "dense", *training),
        "sparse": succeed(
            folder,
            "train_sparsity.py",
            "--st",
            "--sr",
            "0.005",
            "--weights",
            "runs/train/dense/weights/last.pt",
            "--cfg",
            "tiny.yaml",
            "--name",
            "sparse",
            *training,
        ),
        "prune": succeed(
            folder, "prune.py", "--percent", "0.3", "--weights", sparse, "--cfg", "tiny.yaml", *data, *CPU
        ),
        "finetune": succeed(folder, "finetune_pruned.py", "--weights", "pruned_model.pt", "--name", "tuned", *training),
        "again": succeed(
            folder,
            "train_sparsity.py",
            "--st",
            "--sr",
            "auto",
            "--target",
            "0.2",
            "--weights",
            "runs/train/tuned/weights/last.pt",
            "--name",
            "sparse2",
            *training,
        ),
        "prune2": succeed(
            folder, "prune.py", "--percent", "0.2", "--weights", "runs/train/sparse2/weights/last.pt", *data, *CPU
        ),
        "finetune2": succeed(
            folder, "finetune_pruned.py", "--weights", "pruned_model.pt", "--name", "tuned2", *training
        ),
    }
    return folder, said, data


def parameters(path):
    return count_parameters(load_checkpoint(path).model)


def test_each_round_leaves_fewer_parameters(walk):
    folder, _, _ = walk
    weights = folder / "runs/train"
    dense, first, second = (parameters(weights / n / "weights/last.pt") for n in ("dense", "tuned", "tuned2"))
    assert parameters(folder / "pruned_model_1.pt") == first < 0.75 * dense
    assert parameters(folder / "pruned_model.pt") == second < 0.9 * first


def test_prune_says_what_it_did_and_keeps_the_earlier_file(walk):
    _, said, _ = walk
    assert "model.2.cv1.conv" in said["prune"] and "before" in said["prune"] and "mAP50-95" in said["prune"]
    assert "written to pruned_model.pt" in said["prune"]
    assert "channels in use go too" in said["prune"]
    assert "kept as pruned_model_1.pt" in said["prune2"]


def test_sparse_training_ends_with_what_may_be_cut(walk):
    folder, said, _ = walk
    assert "not sparse enough for --percent 0.5" in said["sparse"]  # two epochs are nothing
    assert "not sparse enough" not in said["again"]
    assert re.search(r"cut with --percent 0.2: mAP50 0\.\d+, mAP50-95 0\.\d+ before fine-tuning", said["again"])
    _, script, *words = shlex.split(said["again"].splitlines()[-1].removeprefix("next: "))
    assert words[:2] == ["--percent", "0.2"] and words[3].endswith("best_sparse.pt")
    _, script, *words = shlex.split(succeed(folder, script, *words).splitlines()[-1].removeprefix("next: "))
    succeed(folder, script, *words, "--epochs", "1", "--batch-size", "4", "--workers", "0", "--noplots")


def test_a_cfg_of_another_width_is_named_and_does_not_decide(walk):
    folder, _, data = walk
    words = ["--weights", "runs/train/dense/weights/last.pt", "--cfg", "yolov5s.yaml", "--noval", "--out", "other.pt"]
    assert "yolov5s.yaml differs from the checkpoint in width_multiple" in succeed(folder, "prune.py", *words, *data)
    assert parameters(folder / "other.pt") < parameters(folder / "runs/train/dense/weights/last.pt")


def test_a_run_leaves_what_users_expect(walk):
    folder, _, _ = walk
    run = folder / "runs/train/sparse"
    for name in ("best.pt", "last.pt", "best_sparse.pt"):
        assert (run / "weights" / name).is_file(), name
    for name in ("results.csv", "opt.yaml", "hyp.yaml", "gamma.csv"):
        assert (run / name).is_file(), name
    assert list(run.glob("events.out.tfevents*"))
    with (run / "results.csv").open(newline="") as file:
        rows = [[word.strip() for word in row] for row in csv.reader(file)]
    assert rows[0][:4] == ["epoch", "train/box_loss", "train/obj_loss", "train/cls_loss"]
    assert [row[0] for row in rows[1:]] == ["0", "1"]


def test_tensorboard_has_gammas_losses_and_strength(walk):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _, _ = walk
    events = EventAccumulator(str(folder / "runs/train/sparse")).Reload()
    scalars, histograms = events.Tags()["scalars"], events.Tags()["histograms"]
    for tag in (
        "train/box_loss",
        "metrics/mAP_0.5",
        "x/lr0",
        "sparsity/sr",
        "sparsity/threshold",
        "preview/GFLOPs",
        "preview/mAP_0.5",
    ):
        assert tag in scalars, tag
    assert "bn/all" in histograms and "bn/model.0.bn" in histograms
    assert len(events.Scalars("sparsity/sr")) == 2 and events.Scalars("sparsity/sr")[0].value == pytest.approx(0.005)


def test_no_sparsity_strength_gives_bit_for_bit_the_weights_of_train(walk):
    folder, _, data = walk
    common = ["--weights", "runs/train/tuned/weights/last.pt", "--epochs", 1, "--batch-size", 8, *data, *CPU, "--noval"]
    succeed(folder, "train.py", "--name", "plain", *common)
    succeed(folder, "train_sparsity.py", "--st", "--sr", "0", "--name", "zero", *common)
    succeed(folder, "train_sparsity.py", "--name", "without", *common)
    plain, zero, without = (
        load_checkpoint(folder / f"runs/train/{name}/weights/last.pt").model.state_dict()
        for name in ("plain", "zero", "without")
    )
    assert all(torch.equal(plain[k], zero[k]) and torch.equal(plain[k], without[k]) for k in plain)


def test_validation_prints_the_public_table(walk):
    folder, _, data = walk
    lines = succeed(folder, "val.py", "--weights", "pruned_model.pt", *data, *CPU).splitlines()
    head = next(
        i
        for i, line in enumerate(lines)
        if line.split() == ["Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95"]
    )
    assert lines[head + 1].split()[:2] == ["all", "8"]
    assert (folder / "runs/val/exp/confusion_matrix.png").is_file() and (folder / "runs/val/exp/PR_curve.png").is_file()


def test_detection_on_a_folder_draws_and_writes(walk):
    folder, _, _ = walk
    succeed(
        folder,
        "detect.py",
        "--weights",
        "runs/train/tuned/weights/best.pt",
        "--source",
        "datasets/shapes/images/val",
        "--imgsz",
        SIZE,
        "--save-txt",
        "--conf-thres",
        "0.01",
        "--device",
        "cpu",
    )
    assert len(list((folder / "runs/detect/exp").glob("*.png"))) == 8
    assert list((folder / "runs/detect/exp/labels").glob("*.txt"))


BAD = [
    ("prune.py", ["--percent", "1.0"], ["--percent", "below 1"]),
    ("prune.py", ["--percent", "-0.1"], ["--percent", "at least 0"]),
    ("prune.py", ["--percent", "0.99"], ["--percent 0.99: 99.0%", "at most"]),
    ("prune.py", ["--percent", "half"], ["--percent", "invalid float value"]),
    ("prune.py", ["--out", "datasets"], ["--out datasets", "is a folder"]),
    ("prune.py", ["--weights", "nowhere.pt"], ["nowhere.pt"]),
    ("prune.py", ["--weights", "broken.pt"], ["broken.pt", "not a readable"]),
    ("prune.py", ["--data", "nowhere.yaml"], ["nowhere.yaml"]),
    ("prune.py", ["--data", "other.yaml"], ["other.yaml", "2 classes"]),
    ("train_sparsity.py", ["--st", "--sr", "-1"], ["--sr -1", "at least 0"]),
    ("train_sparsity.py", ["--st", "--sr", "auto"], ["--sr auto", "--target"]),
    ("train_sparsity.py", ["--st", "--sr", "auto", "--target", "0.97"], ["--target 0.97: 97.0%", "at most"]),
    ("finetune_pruned.py", ["--weights", "broken.pt"], ["broken.pt", "not a readable"]),
    ("train.py", ["--weights", "", "--cfg", "wrong.yaml"], ["wrong.yaml", "Konv"]),
    ("train.py", ["--data", "badlabel.yaml"], ["0.txt:1", "nan"]),
    ("val.py", ["--data", "noimages.yaml"], ["noimages.yaml", "nowhere"]),
    ("detect.py", ["--source", "nowhere"], ["nowhere"]),
]


@pytest.mark.parametrize(("script", "words", "expected"), BAD, ids=[f"{s} {' '.join(w)}" for s, w, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(walk, tmp_path, script, words, expected):
    folder, _, _ = walk
    write_bad_files(folder, tmp_path)
    given = {"--weights": "runs/train/dense/weights/last.pt", "--project": tmp_path / "runs", "--imgsz": SIZE}
    if script == "prune.py":
        given |= {"--out": tmp_path / "out.pt"}
        del given["--project"]
    if script != "detect.py":
        given |= {"--data": folder / "datasets/shapes/shapes.yaml"}
    replaced = {flag: value for flag, value in given.items() if flag not in words}
    before = sorted(folder.rglob("*"))
    result = command(folder, script, *words, *(w for pair in replaced.items() for w in pair), "--device", "cpu")
    assert result.returncode == 2, result.stdout + result.stderr
    (error,) = (line for line in result.stderr.splitlines() if line.startswith(f"{script}: error: "))
    below = result.stderr.partition(error)[2].splitlines()[1:]
    assert all(line.startswith("  ") for line in below)  # of a table that belongs to the line
    assert all(word.lower() in error.lower() for word in expected), error
    assert not (tmp_path / "runs").exists() and not (tmp_path / "out.pt").exists()
    assert [p for p in sorted(folder.rglob("*")) if p not in before and "cache" not in p.name] == []


def write_bad_files(folder, scratch):
    """Write the wrong files that the cases above name."""
    (folder / "broken.pt").write_bytes(b"no checkpoint")
    shapes = yaml.safe_load((folder / "datasets/shapes/shapes.yaml").read_text())
    (folder / "other.yaml").write_text(yaml.safe_dump({**shapes, "nc": 2, "names": ["a", "b"]}))
    (folder / "noimages.yaml").write_text(yaml.safe_dump({**shapes, "val": "images/nowhere"}))
    config = yaml.safe_load((folder / "tiny.yaml").read_text())
    config["backbone"][0][2] = "Konv"
    (folder / "wrong.yaml").write_text(yaml.safe_dump(config))
    images, labels = folder / "bad/images", folder / "bad/labels"
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(exist_ok=True)
    source = next((folder / "datasets/shapes/images/train").iterdir())
    (images / f"0{source.suffix}").write_bytes(source.read_bytes())
    (labels / "0.txt").write_text("0 nan 0.5 0.1 0.1\n")
    (folder / "badlabel.yaml").write_text(
        yaml.safe_dump({**shapes, "path": str(folder / "bad"), "train": "images", "val": "images"})
    )
