"""Detections written as label files and COCO results."""

import json

import pytest
import torch

from utils.data.config import DataConfig
from utils.errors import InputError
from utils.validation.predictions import CocoWriter, LabelWriter, coco_average_precision, find_annotations, write_labels

DETECTIONS = torch.tensor([[16.0, 24, 48, 40, 0.875, 1]])  # in a 64×64 frame: 32×16 at (16, 8) of the 64×32 image
BATCH = (
    0,
    torch.zeros(1, 3, 64, 64),
    torch.zeros(0, 6),
    ("x/000000000139.jpg",),
    (((32, 64), ((1.0, 1.0), (0.0, 16.0))),),
)


def test_images_of_one_name_get_label_files_of_their_own(tmp_path, capsys):
    writer = LabelWriter(tmp_path / "labels")
    for path in ("x/a.jpg", "x/a.png", "y/b.png"):
        writer(*BATCH[:3], (path,), BATCH[4], [DETECTIONS])
    assert sorted(file.name for file in (tmp_path / "labels").iterdir()) == ["a.txt", "a_2.txt", "b.txt"]
    assert capsys.readouterr().err == "x/a.png: its results are called a_2, those of x/a.jpg a\n"


@pytest.fixture
def config(tmp_path):
    """Return a data set of two classes at tmp_path whose val split is the folder images/few."""
    return DataConfig(
        tmp_path / "few.yaml", tmp_path, (tmp_path,), None, ("images/few",), None, {0: "cat", 1: "dog"}, None
    )


@pytest.fixture
def annotations(tmp_path):
    """Write the instances file of that split: one dog where DETECTIONS has one."""
    dog = {"id": 1, "image_id": 7, "category_id": 18, "bbox": [16, 8, 32, 16], "area": 512, "iscrowd": 0}
    content = {
        "images": [{"id": 7, "file_name": "000000000139.jpg", "width": 64, "height": 32}],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
        "annotations": [dog],
    }
    file = tmp_path / "annotations" / "instances_few.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content))
    return file


def test_rows_are_shares_of_the_image(tmp_path):
    found = torch.tensor([[0.0, 0, 50, 20, 0.5, 3]])
    write_labels(tmp_path / "a.txt", found, (40, 100))
    assert (tmp_path / "a.txt").read_text() == "3 0.25 0.25 0.5 0.5\n"
    write_labels(tmp_path / "a.txt", found, (40, 100), with_conf=True)
    assert (tmp_path / "a.txt").read_text() == "3 0.25 0.25 0.5 0.5 0.5\n"


def test_label_writer_names_files_after_images_and_undoes_the_letterbox(tmp_path):
    LabelWriter(tmp_path / "labels", with_conf=True)(*BATCH, [DETECTIONS])
    assert (tmp_path / "labels" / "000000000139.txt").read_text() == "1 0.5 0.5 0.5 0.5 0.875\n"


def test_nothing_found_is_an_empty_file(tmp_path):
    LabelWriter(tmp_path)(*BATCH, [DETECTIONS[:0]])
    assert (tmp_path / "000000000139.txt").read_text() == ""


def test_results_without_annotations_use_names_and_indices(config, tmp_path):
    writer = CocoWriter(config, "val")
    writer(*BATCH, [DETECTIONS])
    writer.finish(tmp_path / "out.json")
    expected = [{"image_id": 139, "category_id": 1, "bbox": [16, 8, 32, 16], "score": 0.875}]
    assert json.loads((tmp_path / "out.json").read_text()) == expected


def test_the_80_classes_of_coco_get_their_category_ids(config):
    names = {index: f"thing{index}" for index in range(80)} | {0: "person", 79: "toothbrush"}
    writer = CocoWriter(DataConfig(**{**vars(config), "names": names}), "val")
    assert (writer.categories[0], writer.categories[11], writer.categories[79]) == (1, 13, 90)


def test_results_with_annotations_take_their_ids_and_are_scored(config, annotations, tmp_path, capsys):
    writer = CocoWriter(config, "val")
    writer(*BATCH, [DETECTIONS])
    (result,) = writer.results
    assert (result["image_id"], result["category_id"]) == (7, 18)
    pytest.importorskip("faster_coco_eval")
    writer.finish(tmp_path / "out.json")
    assert "Average Precision" in capsys.readouterr().out
    assert coco_average_precision(annotations, tmp_path / "out.json", [7])[:3] == pytest.approx((1, 1, 1))


def test_an_image_that_the_annotations_lack_is_named(config, annotations, tmp_path):
    writer = CocoWriter(config, "val")
    index, images, targets, _, shapes = BATCH
    with pytest.raises(InputError, match="other.jpg"):
        writer(index, images, targets, ("x/other.jpg",), shapes, [DETECTIONS])


def test_a_class_that_the_annotations_lack_is_named(config, annotations):
    with pytest.raises(InputError, match="'horse'"):
        CocoWriter(DataConfig(**{**vars(config), "names": {0: "cat", 1: "horse"}}), "val")


def test_broken_annotations_are_named(config, annotations):
    annotations.write_text("{}")
    with pytest.raises(InputError, match="instances_few.json"):
        CocoWriter(config, "val")


def test_annotations_are_found_by_the_name_of_the_split(config, annotations):
    assert find_annotations(config, "val") == annotations
    assert find_annotations(config, "test") is None
    for entry in ("few.txt", "annotations/instances_few.json"):
        assert find_annotations(DataConfig(**{**vars(config), "val": (entry,)}), "val") == annotations
    assert find_annotations(DataConfig(**{**vars(config), "val": ("images/few", "images/more")}), "val") is None
