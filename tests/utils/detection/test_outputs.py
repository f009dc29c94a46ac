"""Names and files of what was found."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from utils.data.sources import Item
from utils.detection.options import DetectOptions
from utils.detection.outputs import ItemNames, Recorder, draw, file_name, objects_line, plural, source_name, write_crops
from utils.files.paths import RunFolder

NAMES = {0: "cat", 1: "dog", 2: "Platelets"}
DOG = torch.tensor([[4.0, 4, 20, 16, 0.9, 1]])


def picture(path, **fields):
    return Item(str(path), np.zeros((24, 32, 3), np.uint8), **fields)


def written(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.*"))


def test_names_that_clash_are_told_apart_and_it_is_said(capsys):
    names = ItemNames()
    paths = ["in/a.jpg", "in/a.png", "in/A.bmp", "other/a.jpg", "in/a_2.jpg", "in/b.jpg", "in/a.jpg"]
    assert [names.of_item(picture(path)) for path in paths] == ["a", "a_2", "A_3", "a_4", "a_2_2", "b", "a"]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "in/a.png: its results are called a_2, those of in/a.jpg a"
    assert len(said) == 4


def test_frames_are_numbered():
    names = ItemNames()
    assert [names.of_item(picture("x/film.avi", frame=n)) for n in (1, 12)] == ["film_1", "film_12"]
    assert names.of_item(picture("y/film.mp4", frame=1)) == "film_2_1"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("0", "0"),
        ("rtsp://user:secret@10.0.0.5:554/stream1?x=1", "10.0.0.5_stream1"),
        ("rtsp://user:secret@example.org", "example.org"),
        ("http://example.org/a/../..", "example.org_a"),
    ],
)
def test_streams_have_names_without_passwords(path, name):
    assert source_name(picture(path, frame=1, live=True)) == name


def test_pictures_and_labels_of_like_names_are_kept_apart(tmp_path):
    recorder = Recorder(RunFolder(tmp_path), NAMES, DetectOptions(save_txt=True, save_crop=True))
    for path in ("in/a.jpg", "in/a.png", "more/a.mpo"):
        recorder.add(picture(path), DOG, np.zeros((24, 32, 3), np.uint8))
    names = ["a", "a_2", "a_3"]
    assert written(tmp_path) == sorted(
        ["a.jpg", "a_2.png", "a_3.jpg", *(f"labels/{n}.txt" for n in names), *(f"crops/dog/{n}.jpg" for n in names)]
    )


def test_each_stream_gets_a_video_while_others_go_on(tmp_path):
    recorder = Recorder(RunFolder(tmp_path), NAMES, DetectOptions())
    for number in (1, 2, 3):
        for path in ("0", "1"):
            recorder.add(picture(path, frame=number, fps=5.0, live=True), DOG, np.zeros((24, 32, 3), np.uint8))
    recorder.close()
    assert written(tmp_path) == ["0.mp4", "1.mp4"]
    assert cv2.VideoCapture(str(tmp_path / "1.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_nothing_is_written_that_is_not_asked_for(tmp_path):
    recorder = Recorder(None, NAMES, DetectOptions(nosave=True))
    recorder.add(picture("a.jpg"), DOG, None)
    recorder.close()
    assert written(tmp_path) == []


def test_crops_have_a_margin_and_end_at_the_image(tmp_path):
    image = np.arange(100 * 200 * 3, dtype=np.uint8).reshape(100, 200, 3)
    found = torch.tensor([[50.0, 30, 100, 60, 0.9, 1], [190, 0, 200, 10, 0.8, 1]])
    files = write_crops(tmp_path, "a", image, found, NAMES)
    assert written(tmp_path) == ["dog/a.jpg", "dog/a_2.jpg"]
    assert files == [tmp_path / "dog/a.jpg", tmp_path / "dog/a_2.jpg"]
    assert cv2.imread(str(tmp_path / "dog/a.jpg")).shape == (52, 72, 3)  # 30 + 2·10.3, 50 + 2·10.5, whole pixels
    assert cv2.imread(str(tmp_path / "dog/a_2.jpg")).shape == (21, 21, 3)


@pytest.mark.parametrize(
    ("name", "safe"), [("dog", "dog"), ("../../etc", "_.._etc"), ("a/b", "a_b"), ("..", "_"), ("日本", "日本")]
)
def test_class_names_cannot_leave_the_folder(name, safe):
    assert file_name(name) == safe


def test_words():
    found = torch.tensor([[0, 0, 1, 1, 0.9, 1], [0, 0, 1, 1, 0.8, 0], [0, 0, 1, 1, 0.7, 1]])
    assert objects_line(found, NAMES) == "1 cat, 2 dogs"
    found[:, 5] = 2
    assert objects_line(found, NAMES) == "3 Platelets"
    assert objects_line(torch.zeros(0, 6), NAMES) == "nothing"


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("person", "persons"),
        ("RBC", "RBCs"),
        ("Platelets", "Platelets"),
        ("skis", "skis"),
        ("bus", "buses"),
        ("box", "boxes"),
        ("wine glass", "wine glasses"),
        ("bench", "benches"),
        ("toothbrush", "toothbrushes"),
    ],
)
def test_plurals(one, many):
    assert plural(one) == many


def test_options_decide_what_is_drawn():
    item = picture("a.jpg")
    options = [SimpleNamespace(line_thickness=1, hide_labels=hide, hide_conf=False) for hide in (False, True)]
    plain, bare = (draw(item, DOG, NAMES, one) for one in options)
    assert not item.image.any() and bare.any() and (plain != bare).any()
