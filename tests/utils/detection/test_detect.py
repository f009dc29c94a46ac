"""Detection on images and videos with a network whose one answer is known."""

import cv2
import numpy as np
import pytest
import torch

from utils.data.sources import Item
from utils.detection.detect import Detector, detect, make_detector
from utils.detection.options import DetectOptions
from utils.errors import InputError
from utils.files.checkpoint import finished_content, save_checkpoint

NAMES = {0: "cat", 1: "dog"}


class OneDog(torch.nn.Module):
    """Sees one dog of 32×16 around (32, 24) in every image, whatever is on it."""

    size_multiple, names = 32, NAMES

    def fuse(self):
        return self

    def forward(self, images):
        self.seen = tuple(images.shape)
        return torch.tensor([[[32.0, 24, 32, 16, 0.9, 0, 1]]])


def detector_for(imgsz):
    return Detector(OneDog(), torch.device("cpu"), imgsz, conf=0.25, iou=0.45)


@pytest.fixture
def options(tiny_model, tmp_path):
    """Return options to run the small network on a folder of two images; without confidence it finds plenty."""
    save_checkpoint(tmp_path / "tiny.pt", finished_content(tiny_model))
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        cv2.imwrite(str(tmp_path / "in" / name), rng.integers(0, 255, (48, 64, 3), np.uint8))
    return DetectOptions(
        weights=str(tmp_path / "tiny.pt"),
        source=str(tmp_path / "in"),
        imgsz=[64],
        conf_thres=0.0,
        iou_thres=0.1,
        max_det=4,
        device="cpu",
        project=str(tmp_path / "runs"),
    )


def written(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.*"))


def test_images_are_fitted_into_whole_strides_and_boxes_mapped_back():
    detector = detector_for((64, 64))
    # 100×200 becomes 32×64 and fills one stride: scale 0.32, no border.
    (found,) = detector(np.zeros((100, 200, 3), np.uint8)).tolist()
    assert detector.model.seen == (1, 3, 32, 64)
    assert found == pytest.approx([50, 50, 150, 100, 0.9, 1])


def test_size_is_height_and_width():
    detector = detector_for((64, 320))
    assert detector.fitted_shape(np.zeros((100, 200, 3))) == (64, 128)
    assert detector.fitted_shape(np.zeros((100, 1000, 3))) == (32, 320)


def test_a_run_writes_pictures_labels_and_crops(options, tmp_path, capsys):
    options.save_txt = options.save_conf = options.save_crop = True
    detect(options)
    files = written(tmp_path / "runs" / "exp")
    assert {"a.png", "b.jpg", "labels/a.txt", "labels/b.txt"} <= set(files)
    assert sum(name.startswith("crops/") for name in files) == 8
    rows = (tmp_path / "runs/exp/labels/a.txt").read_text().splitlines()
    assert [len(row.split()) for row in rows] == [6] * 4
    assert not np.array_equal(cv2.imread(str(tmp_path / "runs/exp/a.png")), cv2.imread(str(tmp_path / "in/a.png")))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"image 1/2 {tmp_path / 'in' / 'a.png'}: 64x64 ")
    assert lines[-1] == f"Results saved to {tmp_path / 'runs' / 'exp'}"


def test_nosave_alone_writes_nothing(options, tmp_path):
    options.nosave = True
    detect(options)
    assert not (tmp_path / "runs").exists()


def test_videos_become_one_video_with_labels_of_each_frame(options, tmp_path):
    video = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for shade in range(6):
        video.write(np.full((48, 64, 3), 40 * shade, np.uint8))
    video.release()
    options.source, options.vid_stride, options.save_txt = str(tmp_path / "film.avi"), 2, True
    detect(options)
    assert len(written(tmp_path / "runs/exp/labels")) == 3
    film = cv2.VideoCapture(str(tmp_path / "runs/exp/film.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(5)


def test_classes_select(options):
    options.classes = [2]
    found = make_detector(options)(np.zeros((48, 64, 3), np.uint8))
    assert set(found[:, 5].tolist()) == {2}


@pytest.mark.parametrize(
    "change",
    [
        {"view_img": True},
        {"visualize": True, "augment": True},
        {"dnn": True},
        {"save_conf": True},
        {"imgsz": [64, 64, 64]},
        {"classes": [0, 3]},
        {"source": "nothing.jpg"},
        {"source": "broken.jpg"},
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(options, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    for name, value in change.items():
        setattr(options, name, value)
    with pytest.raises(InputError):
        detect(options)
    assert not (tmp_path / "runs").exists()


def test_images_of_like_names_have_results_of_their_own(options, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "in/b.png"), np.zeros((48, 64, 3), np.uint8))
    options.save_txt = True
    detect(options)
    labels = ["labels/a.txt", "labels/b.txt", "labels/b_2.txt"]
    assert written(tmp_path / "runs/exp") == ["a.png", "b.jpg", "b_2.png", *labels]
    said = capsys.readouterr().err
    assert said == f"{tmp_path}/in/b.png: its results are called b_2, those of {tmp_path}/in/b.jpg b\n"


def test_feature_maps_of_each_image_have_a_folder(options, tmp_path):
    options.visualize = options.nosave = True
    detect(options)
    files = written(tmp_path / "runs/exp")
    assert {"a/stage0_Conv_features.png", "b/stage2_C3_features.png", "b/stage2_C3_features.npy"} <= set(files)
    assert len(files) == 2 * 5 * 2


def test_a_window_shows_what_is_drawn_until_the_user_ends_it(options, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("utils.detection.detect.require_display", lambda flag: None)
    monkeypatch.setattr(
        "utils.detection.detect.show", lambda title, image, moving: shown.append((title, image.any(), moving))
    )
    options.view_img, options.nosave = True, True
    detect(options)
    assert shown == [(str(tmp_path / "in/a.png"), True, False)]  # None, which show returned, ends it


def test_a_stream_ends_well_when_the_user_interrupts(options, tmp_path, monkeypatch, capsys):
    def stream(source, stride):
        for number in (1, 2):
            yield Item("0", np.zeros((48, 64, 3), np.uint8), number, 10.0, live=True)
        raise KeyboardInterrupt

    monkeypatch.setattr("utils.detection.detect.open_source", stream)
    options.save_txt = True
    detect(options)
    assert cv2.VideoCapture(str(tmp_path / "runs/exp/0.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 2
    assert written(tmp_path / "runs/exp/labels") == ["0_1.txt", "0_2.txt"]
    assert capsys.readouterr().out.splitlines()[-1] == f"Results saved to {tmp_path}/runs/exp"


def test_files_are_interrupted_as_any_command(options, monkeypatch):
    def files(source, stride):
        yield Item("a.png", np.zeros((48, 64, 3), np.uint8))
        raise KeyboardInterrupt

    monkeypatch.setattr("utils.detection.detect.open_source", files)
    with pytest.raises(KeyboardInterrupt):
        detect(options)
