"""What detect.py can look at, and what it refuses."""

import os
import shutil

import cv2
import numpy as np
import pytest

from utils.data.sources import find_pictures, find_streams, open_source
from utils.errors import InputError


@pytest.fixture
def film(tmp_path):
    """Return a video of 7 frames, 10 a second; frame n, from 1, has the shade 30·n."""
    path = tmp_path / "in" / "film.avi"
    path.parent.mkdir(exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(1, 8):
        video.write(np.full((48, 64, 3), 30 * number, np.uint8))
    video.release()
    return path


@pytest.fixture
def folder(tmp_path, write_image):
    """Return a folder with two images, a note, and an image in a subfolder."""
    for seed, name in enumerate(("b.png", "a.bmp", "sub/c.png")):
        write_image(tmp_path / "in" / name, seed=seed)
    (tmp_path / "in" / "notes.md").write_text("nothing to see")
    return tmp_path / "in"


def names(source, **options):
    return [item.path.rsplit("/", 1)[1] for item in open_source(str(source), **options)]


def test_an_image_comes_as_it_is_on_disk(folder):
    (item,) = open_source(str(folder / "b.png"))
    assert (item.path, item.frame, item.fps) == (str(folder / "b.png"), None, None)
    assert (item.image == cv2.imread(str(folder / "b.png"))).all()


def test_a_folder_gives_its_images_and_videos_in_order(folder, film):
    assert names(folder) == ["a.bmp", "b.png", *["film.avi"] * 7]


def test_patterns(folder):
    assert names(folder / "*.png") == ["b.png"]
    assert names(folder / "[ab].*") == ["a.bmp", "b.png"]
    assert names(folder / "**" / "*.png") == ["b.png", "c.png"]


def test_a_name_that_looks_like_a_pattern_is_a_file_first(tmp_path, write_image):
    write_image(tmp_path / "a[1].png")
    assert names(tmp_path / "a[1].png") == ["a[1].png"]


def test_names_of_files_come_before_cameras(tmp_path, monkeypatch, write_image):
    write_image(tmp_path / "0" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert len(list(open_source("0"))) == 1


def test_a_list_starts_at_its_folder_and_keeps_its_order(folder, film, tmp_path):
    (tmp_path / "list.txt").write_text(f"./in/sub/c.png\n\n{folder / 'a.bmp'}\n in/film.avi \n")
    assert names(tmp_path / "list.txt", vid_stride=4) == ["c.png", "a.bmp", "film.avi", "film.avi"]


@pytest.mark.parametrize(("stride", "frames"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [1, 4, 7]), (4, [1, 5]), (9, [1])])
def test_every_so_many_frames_of_a_video(film, stride, frames):
    items = list(open_source(str(film), stride))
    assert [item.frame for item in items] == frames
    assert [item.image.mean() for item in items] == pytest.approx([30 * frame for frame in frames], abs=3)
    assert {item.fps for item in items} == {10 / stride}  # so that a video of the items plays as fast
    assert items[0].image.shape == (48, 64, 3)


def test_broken_files_are_skipped_with_a_line_each(folder, capsys):
    (folder / "a.bmp").write_bytes(b"no image")
    (folder / "film.mp4").write_bytes(b"no film")
    assert names(folder) == ["b.png"]
    lines = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert lines == [f"{folder / name}: cannot be decoded: skipped" for name in ("a.bmp", "film.mp4")]


def test_nothing_but_broken_files_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match="none of 1 files could be decoded"):
        list(open_source(str(tmp_path)))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("https://youtu.be/LNwODJXcvt4", "YouTube is not supported; save the video"),
        ("https://www.youtube.com/watch?v=LNwODJXcvt4", "YouTube is not supported"),
        ("screen", "screenshots are not supported; save one as an image"),
        ("screen 0 100 100 512 256", "screenshots are not supported"),
        ("ftp://example.org/bus.jpg", "no such file or folder"),
        ("absent.streams", "no such file or folder"),
        ("blank.streams", "the list is empty"),
        ("bad.streams", "bad.streams:2: good.jpg: neither a camera number nor an address"),
        ("tube.streams", "tube.streams:1: https://youtu.be/LNwODJXcvt4: YouTube is not supported"),
        ("", "source is empty"),
        ("absent.jpg", "no such file or folder"),
        ("screenshots/a.png", "no such file or folder"),
        ("*.png", "pattern without images or videos"),
        ("empty", "folder without images or videos"),
        ("notes.md", "file without images or videos"),
        ("blank.txt", "the list is empty"),
        ("bad.txt", "bad.txt:2: absent.png: no such file"),
        ("odd.txt", "odd.txt:1: notes.md: file without images or videos"),
    ],
)
def test_what_is_refused_is_one_line_before_anything_is_read(tmp_path, monkeypatch, write_image, source, words):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "good.jpg")
    (tmp_path / "empty").mkdir()
    texts = {
        "notes.md": "",
        "blank.txt": "\n",
        "bad.txt": "good.jpg\nabsent.png\n",
        "odd.txt": "notes.md",
        "blank.streams": "\n",
        "bad.streams": "0\ngood.jpg\n",
        "tube.streams": "https://youtu.be/LNwODJXcvt4",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        open_source(source)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_lists_cannot_name_folders(folder, tmp_path):
    (tmp_path / "list.txt").write_text("in\n")
    with pytest.raises(InputError, match="list.txt:1: in: no such file"):
        find_pictures(str(tmp_path / "list.txt"))


@pytest.mark.parametrize("source", ["data/pictures", "data/pictures/a.png"])
def test_the_projects_files_are_found_from_elsewhere(tmp_path, monkeypatch, write_image, source):
    write_image(tmp_path / "project/data/pictures/a.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr("utils.data.sources.ROOT", tmp_path / "project")
    assert find_pictures(source) == [tmp_path / "project/data/pictures/a.png"]


def test_the_file_at_an_address_is_downloaded(tmp_path, monkeypatch, write_image):
    monkeypatch.chdir(tmp_path)
    calls = []

    def fetch(url, target):
        calls.append(url)
        return write_image(target)

    (item,) = open_source("https://example.org/x/bus.PNG?size=1", fetch=fetch)
    assert item.path == "bus.PNG" and calls == ["https://example.org/x/bus.PNG?size=1"]


@pytest.mark.parametrize(
    ("source", "streams"),
    [
        ("0", ["0"]),
        ("rtsp://user:secret@example.org:554/a", ["rtsp://user:secret@example.org:554/a"]),
        ("https://example.org/live", ["https://example.org/live"]),
        ("http://example.org/live.sdp?x=a.jpg", ["http://example.org/live.sdp?x=a.jpg"]),
        ("rtmp://example.org/film.mp4", ["rtmp://example.org/film.mp4"]),
        ("all.streams", ["0", "rtsp://example.org/a"]),
        ("https://example.org/film.mp4", []),
        ("https://youtu.be/LNwODJXcvt4", []),
        ("photos", []),
    ],
)
def test_what_is_a_stream(tmp_path, monkeypatch, source, streams):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.streams").write_text("0\n\n rtsp://example.org/a \n")
    assert find_streams(source) == streams


def test_names_that_are_no_utf_8(write_image, tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9")
    os.mkdir(folder)
    shutil.copy(write_image(tmp_path / "a.png", 32, 48), f"{folder}/\udcfe.png")
    video = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (48, 32))
    video.write(np.zeros((32, 48, 3), np.uint8))
    video.release()
    shutil.copy(tmp_path / "a.avi", f"{folder}/\udcfd.avi")
    assert [(item.path, item.image.shape) for item in open_source(folder)] == [
        (f"{folder}/\udcfd.avi", (32, 48, 3)),
        (f"{folder}/\udcfe.png", (32, 48, 3)),
    ]
