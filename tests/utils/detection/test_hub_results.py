"""Detections in the forms that programs ask for."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from utils.detection.hub_results import Detections
from utils.errors import InputError
from utils.pictures.drawing import colour

NAMES = {0: "cat", 1: "dog"}


@pytest.fixture
def results():
    """Return two dogs and a cat on a picture of 100 × 200, nothing on one of 50 × 50."""
    rows = torch.tensor([[20.0, 10, 60, 50, 0.9, 1], [100, 40, 140, 90, 0.8, 0], [0, 0, 20, 10, 0.5, 1]])
    images = [np.zeros((100, 200, 3), np.uint8), np.zeros((50, 50, 3), np.uint8)]
    return Detections(images, [rows, rows[:0]], ["a.jpg", "image1.jpg"], (0.002, 0.04, 0.006), NAMES, (2, 3, 64, 64))


def written(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.*"))


def test_boxes_in_four_formats(results):
    assert results.xyxy[0][0].tolist() == pytest.approx([20, 10, 60, 50, 0.9, 1])
    assert results.xywh[0][0].tolist() == pytest.approx([40, 30, 40, 40, 0.9, 1])
    assert results.xyxyn[0][0].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.5, 0.9, 1])
    assert results.xywhn[0][0].tolist() == pytest.approx([0.2, 0.3, 0.2, 0.4, 0.9, 1])
    assert [rows.shape for rows in results.xywhn] == [(3, 6), (0, 6)]
    assert results.pred is results.xyxy and results.imgs is results.ims


def test_what_is_said(results, capsys):
    text = (
        "image 1/2: 100x200 1 cat, 2 dogs\n"
        "image 2/2: 50x50 (no detections)\n"
        "Speed: 1.0ms pre-process, 20.0ms inference, 3.0ms NMS per image at shape (2, 3, 64, 64)"
    )
    assert str(results) == text
    assert repr(results) == f"Detections on 2 images\n{text}"
    results.print()
    assert capsys.readouterr().out == text + "\n"


def test_lists_of_one(results):
    assert len(results) == results.n == 2
    first, second = results.tolist()
    assert (first.n, first.files, len(first.xyxy[0]), len(second.xyxy[0])) == (1, ["a.jpg"], 3, 0)
    assert first.t == pytest.approx((1, 20, 3))
    assert results.t == pytest.approx((1, 20, 3))


def test_tables(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows, columns: (rows, columns)))
    tables = results.pandas()
    rows, columns = tables.xyxy[0]
    assert columns == ("xmin", "ymin", "xmax", "ymax", "confidence", "class", "name")
    assert rows[0] == [20, 10, 60, 50, pytest.approx(0.9), 1, "dog"] and type(rows[0][5]) is int
    assert tables.xywh[0][1] == ("xcenter", "ycenter", "width", "height", "confidence", "class", "name")
    assert tables.xywhn[1][0] == []
    assert isinstance(results.xyxy[0], torch.Tensor)  # the original stays


def test_real_tables(results):
    pytest.importorskip("pandas")
    frame = results.pandas().xyxy[0]
    assert list(frame[frame["confidence"] > 0.6]["name"]) == ["dog", "cat"]
    assert list(results.pandas().xyxy[1].columns) == list(frame.columns)


def test_without_pandas_it_is_one_line(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="needs pandas; pip install pandas$"):
        results.pandas()


def test_boxes_are_drawn_on_the_pictures_themselves_in_rgb(results):
    rendered = results.render(labels=False)
    assert rendered is results.ims
    assert tuple(rendered[0][30, 20].tolist()) == colour(1)[::-1]
    assert not rendered[1].any()


def test_pictures_are_saved_into_new_folders(results, tmp_path, capsys):
    for _ in range(2):
        results.save(save_dir=tmp_path / "out")
    results.save(save_dir=tmp_path / "out", exist_ok=True)
    assert written(tmp_path) == ["out/a.jpg", "out/image1.jpg", "out2/a.jpg", "out2/image1.jpg"]
    assert capsys.readouterr().out.splitlines()[1] == f"Saved 2 images to {tmp_path / 'out2'}"
    assert cv2.imread(str(tmp_path / "out/a.jpg")).any()


def test_saving_leaves_the_pictures_as_they_are(results, tmp_path):
    results.save(save_dir=tmp_path / "out")
    assert not any(image.any() for image in results.ims)


def test_crops(results, tmp_path):
    results.ims[0][10:50, 20:60] = (255, 0, 0)  # red
    crops = results.crop(save_dir=str(tmp_path / "out"))
    assert written(tmp_path) == ["out/crops/cat/a.jpg", "out/crops/dog/a.jpg", "out/crops/dog/a_2.jpg"]
    assert [crop["label"] for crop in crops] == ["dog 0.50", "cat 0.80", "dog 0.90"]
    best = crops[-1]
    assert [float(value) for value in best["box"]] == [20, 10, 60, 50] and int(best["cls"]) == 1
    assert best["im"].shape == (61, 62, 3)  # 40 + 2·10.4 cut at the top (0), rounded outwards
    assert best["im"][30, 30].tolist() == [0, 0, 255]  # BGR


def test_crops_need_not_be_written(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(results.crop(save=False)) == 3
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_shown_without_a_display(results, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="there is no display here; use results.save"):
        results.show()


def test_with_a_display_the_pictures_are_shown(results, monkeypatch):
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("PIL.Image.Image.show", lambda picture: shown.append(picture.size))
    results.show()
    assert shown == [(200, 100), (50, 50)]
