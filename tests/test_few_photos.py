"""The benchmark of few photos: its tables, its data sets, and all of it at tiny sizes."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from benchmarks.few_photos import CONTROLS, PEER, BenchmarkOptions, main
from benchmarks.photos.peer import cut_evenly
from benchmarks.photos.rows import Row, summary
from benchmarks.photos.subset import subset
from benchmarks.small_runs import save_network
from models.cost import count_gflops
from models.yolo import DetectionModel
from utils.data.config import load_data
from utils.data.shapes import NAMES, draw_shapes
from utils.data.splits import load_split
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.runtimes.packages import has


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """The data yaml of 12 and 4 drawn images of 64 pixels."""
    return draw_shapes(tmp_path_factory.mktemp("data") / "shapes", 12, 4, 64)


def samples_of(data, split):
    """Return the Samples of a split of a data yaml."""
    return load_split(load_data(data), split, progress=False)[0]


def test_a_summary_has_means_ranges_and_differences():
    rows = [
        Row(0, "control", 6, 1.0, 0.9, 0.6),
        Row(0, "20%-slim", 6, 0.19, 0.8, 0.5),
        Row(1, "control", 6, 1.0, 0.94, 0.64),
        Row(1, "20%-slim", 10, 0.21, 0.95, 0.61),
    ]
    assert summary(rows).splitlines()[2:] == [
        "| control | 6 | 100% | 0.920 (0.900 to 0.940) | 0.620 (0.600 to 0.640) | +0.000 / +0.000 |",
        "| 20%-slim | 6 to 10 | 20% | 0.875 (0.800 to 0.950) | 0.555 (0.500 to 0.610) | -0.045 / -0.065 |",
    ]


def test_the_same_photos_are_drawn_again(shapes, tmp_path):
    file = subset(str(shapes), 5, [], tmp_path)
    photos = list(samples_of(file, "train").paths)
    assert len(photos) == 5 and set(photos) < set(samples_of(shapes, "train").paths)
    assert list(samples_of(subset(str(shapes), 5, [], tmp_path), "train").paths) == photos
    assert list(samples_of(file, "val").paths) == list(samples_of(shapes, "val").paths)


def test_some_classes_are_left_with_their_boxes(shapes, tmp_path):
    for _ in range(2):  # a second start finds the files of the first
        file = subset(str(shapes), 0, [3, 1], tmp_path)
    assert load_data(file).names == {0: NAMES[3], 1: NAMES[1]}
    for split, keeps_all in (("train", False), ("val", True)):
        whole = [sample.labels[np.isin(sample.labels[:, 0], [3, 1])] for sample in samples_of(shapes, split)]
        whole = [labels for labels in whole if keeps_all or len(labels)]
        found = [sample.labels for sample in samples_of(file, split)]
        assert sorted(map(len, found)) == sorted(map(len, whole))
        boxes, wanted = (np.concatenate(each) for each in (found, whole))
        assert set(boxes[:, 0]) == {0, 1}
        wanted[:, 0] = wanted[:, 0] == 1
        np.testing.assert_allclose(boxes[np.lexsort(boxes.T)], wanted[np.lexsort(wanted.T)], atol=1e-5)


def test_training_photos_without_any_of_the_classes_are_left_out(tmp_path):
    data = draw_shapes(tmp_path / "shapes", 12, 12, 64)
    file = subset(str(data), 0, [0], tmp_path)
    assert all(len(sample.labels) for sample in samples_of(file, "train"))
    assert 0 < len(samples_of(file, "train")) < 12 == len(samples_of(file, "val"))


def test_a_class_that_is_not_there_is_refused(shapes, tmp_path):
    with pytest.raises(InputError, match="--classes 5: .* has the classes 0 to 4"):
        subset(str(shapes), 0, [0, 5], tmp_path)


def test_classes_without_any_photo_are_refused(tmp_path):
    data = draw_shapes(tmp_path / "shapes", 2, 1, 64)
    for labels in (tmp_path / "shapes/labels/train").iterdir():
        labels.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match="--classes 2: no training photo"):
        subset(str(data), 0, [2], tmp_path)


def test_what_torch_pruning_leaves_is_read_again_as_it_was(tiny_config, tmp_path):
    peer = pytest.importorskip(PEER)
    torch.manual_seed(0)
    dense = DetectionModel(tiny_config).eval()
    narrow = cut_evenly(peer, dense, 0.5, 64)
    assert 0.5 <= count_gflops(narrow, 64) / count_gflops(dense, 64) < 0.55
    assert all(a.weight.shape[0] == b.weight.shape[0] for a, b in zip(narrow.model[-1].m, dense.model[-1].m))
    save_checkpoint(tmp_path / "narrow.pt", finished_content(narrow))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found, wanted = (each(image)[0] for each in (load_checkpoint(tmp_path / "narrow.pt").network, halved(narrow)))
    assert torch.equal(found, wanted)


def halved(network):
    """Return a copy of a network, its values rounded as a file holds them."""
    return deepcopy(network).half().float().eval()


def test_all_of_it_at_tiny_sizes(shapes, tmp_path, capsys):
    save_network(shapes, tmp_path / "start.pt")
    options = BenchmarkOptions(
        data=str(shapes),
        weights=str(tmp_path / "start.pt"),
        photos=8,
        left=[0.6],
        seeds=[0, 1],
        epochs=2,
        imgsz=64,
        batch_size=4,
        slim=True,
        out=str(tmp_path / "runs"),
    )
    main(options)
    first = capsys.readouterr().out.splitlines()
    stages = ["dense", *CONTROLS, "60%-sparse", "60%-fine-tuned", "60%-torch-pruning-fine-tuned", "60%-slim"]
    if not has(PEER):
        assert first[0] == "no rows of torch-pruning: pip install torch-pruning"
        stages.remove("60%-torch-pruning-fine-tuned")
    rows = [line.split(" | ") for line in first if line.startswith(("| 0 |", "| 1 |"))]
    assert [(row[0][2:], row[1]) for row in rows] == [(seed, stage) for seed in "01" for stage in stages]
    assert [row[2] for row in rows[:5]] == ["2", "6", "6", "4", "6"]
    assert [row[3] for row in rows[:3]] == ["100%"] * 3
    assert all(float(row[3].rstrip("%")) < 75 for row in rows if row[1].startswith("60%"))
    means = first[first.index("") + 3 :]
    assert [line.split(" | ")[0][2:] for line in means] == stages
    assert {"dense-0", "control-1", "60%-sparse-0", "60%-fine-tuned-1", "60%-0.pt"} <= {
        file.name for file in (tmp_path / "runs").iterdir()
    }
    when = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("*.pt")}
    main(options)
    assert capsys.readouterr().out.splitlines() == first
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("*.pt")} == when
