"""Image files as they come, and the size rule."""

import cv2
import numpy as np
import pytest
from PIL import Image

from utils.data.images import check_writable, fit_image, fitted_size, read_image, write_array
from utils.data.labels import scan


def test_pixels_come_in_blue_green_red(tmp_path):
    Image.new("RGB", (3, 2), (10, 20, 30)).save(tmp_path / "ä b.png")
    image = read_image(tmp_path / "ä b.png")
    assert image.shape == (2, 3, 3)
    assert (image == (30, 20, 10)).all()


def test_grey_and_transparent_images_get_three_channels(tmp_path):
    Image.new("L", (3, 2), 7).save(tmp_path / "grey.png")
    Image.new("RGBA", (3, 2), (7, 7, 7, 100)).save(tmp_path / "clear.png")
    for name in ("grey.png", "clear.png"):
        assert (read_image(tmp_path / name) == np.full((2, 3, 3), 7)).all()


def test_a_photo_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90° clockwise to view
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (30, 20, 3)


@pytest.mark.parametrize("keep", [0, 10, -200])
def test_a_broken_or_cut_file_is_none(write_image, tmp_path, keep):
    path = write_image(tmp_path / "a.jpg", 64, 64)
    assert read_image(path) is not None
    path.write_bytes(path.read_bytes()[:keep])
    assert read_image(path) is None


def test_an_absent_file_is_none(tmp_path):
    assert read_image(tmp_path / "a.png") is None


def test_notes_behind_the_end_of_a_jpeg_are_no_damage(write_image, tmp_path):
    path = write_image(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"notes" * 20)
    assert read_image(path) is not None


@pytest.mark.parametrize(
    ("size", "imgsz", "fitted"),
    [
        ((480, 640), 320, (240, 320)),
        ((640, 427), 320, (320, 214)),  # 427 / 2 = 213.5, rounded up
        ((10, 1000), 32, (1, 32)),
        ((100, 147), 640, (436, 640)),  # 147 · (640 / 147) is more than 640 in floating point
        ((5, 5), 5, (5, 5)),
    ],
)
def test_the_long_side_fits_and_the_short_one_is_rounded_up(size, imgsz, fitted):
    assert fitted_size(*size, imgsz) == fitted


def test_shrinking_by_area_averages_and_linear_does_not():
    image = np.zeros((8, 8, 3), np.uint8)
    image[::4] = 200
    assert np.unique(fit_image(image, 2, shrink_by_area=True)).tolist() == [50]  # one row of four
    assert np.unique(fit_image(image, 2, shrink_by_area=False)).tolist() == [0]  # the rows in the middle
    assert fit_image(image, 16, shrink_by_area=True).shape == (16, 16, 3)
    assert fit_image(image, 8, shrink_by_area=True) is image


def test_enlarging_is_linear(write_image, tmp_path):
    image = read_image(write_image(tmp_path / "a.png", 4, 4))
    expected = cv2.resize(image, (8, 8), interpolation=cv2.INTER_LINEAR)
    for by_area in (True, False):
        assert (fit_image(image, 8, by_area) == expected).all()


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        write_array(tmp_path / "a.npy", np.array([object()]))
    assert not list(tmp_path.iterdir())
    write_array(tmp_path / "a.npy", np.arange(3))
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]


def test_a_folder_marked_read_only_is_left_alone_even_by_root(tmp_path):
    check_writable(tmp_path)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError) as error:
            write_array(tmp_path / "a.npy", np.arange(3))
        assert error.value.filename == str(tmp_path)
        assert not list(tmp_path.iterdir())
    finally:
        tmp_path.chmod(0o755)


def test_a_scan_writes_no_cache_beside_labels_marked_read_only(write_pair, tmp_path):
    images, labels = [write_pair("a")], tmp_path / "labels"
    labels.chmod(0o555)
    try:
        samples, _ = scan(images, 1, labels / "train.cache.npz", progress=False)
        assert len(samples) == 1
        assert [entry.name for entry in labels.iterdir()] == ["train"]
    finally:
        labels.chmod(0o755)
