"""Image files as they come, and the size rule."""

import io
import math
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from utils.data.images import (
    check_writable,
    fit_image,
    fitted_size,
    jpeg_end,
    missing_reader,
    read_image,
    reduction_for,
    write_array,
)
from utils.data.images import write_image as write_file
from utils.errors import InputError


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


@pytest.mark.parametrize(
    ("size", "imgsz", "reduction"),
    [
        ((480, 640), 320, 2),
        ((480, 640), 321, 1),
        ((640, 480), 160, 4),
        ((104, 4000), 64, 8),
        ((102, 4000), 64, 2),
        ((641, 480), 320, 1),
        ((10, 10), 64, 1),
    ],
)
def test_a_reduction_leaves_at_least_the_size_that_is_needed(size, imgsz, reduction):
    assert reduction_for(*size, imgsz) == reduction


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("orientation", [1, 6], ids=["upright", "turned"])
def test_a_jpeg_decoded_at_a_part_of_its_size_shows_the_same(tmp_path, reduction, orientation):
    small = np.random.default_rng(0).integers(0, 255, (9, 13, 3), np.uint8)
    photo = Image.fromarray(cv2.resize(small, (208, 144), interpolation=cv2.INTER_CUBIC))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "a.jpg", exif=exif, quality=95)
    photo.save(tmp_path / "a.png")
    whole, part = read_image(tmp_path / "a.jpg"), read_image(tmp_path / "a.jpg", reduction)
    size = whole.shape[1] // reduction, whole.shape[0] // reduction
    assert part.shape[1::-1] == size
    assert np.abs(part.astype(int) - cv2.resize(whole, size, interpolation=cv2.INTER_AREA)).mean() < 2
    assert read_image(tmp_path / "a.png", reduction).shape[:2] == (144, 208)


@pytest.mark.parametrize("keep", [0, 10, -200])
def test_a_broken_or_cut_file_is_none(write_image, tmp_path, keep):
    path = write_image(tmp_path / "a.jpg", 64, 64)
    assert read_image(path) is not None
    path.write_bytes(path.read_bytes()[:keep])
    assert read_image(path) is None


def test_what_is_no_file_is_none(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, "a\0b.png"):
        assert read_image(path) is None


def test_an_absent_file_is_none(tmp_path):
    assert read_image(tmp_path / "a.png") is None


@pytest.mark.parametrize(
    "more", [b"notes" * 20, b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 400], ids=["notes", "video"]
)
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_bytes_behind_the_end_of_a_jpeg_are_no_damage(tmp_path, more, progressive):
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)])[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "b.jpg").write_bytes(data + more)
    assert jpeg_end(data + more) == len(data)
    assert (read_image(tmp_path / "a.jpg") == read_image(tmp_path / "b.jpg")).all()


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize(
    ("cut", "more", "whole"),
    [(1, b"", 1), (2, b"", 1), (2, bytes(99), 1), (4, b"", 0), (900, b"", 0), (900, bytes(5000), 0)],
)
def test_an_end_mark_may_be_missing_but_no_pixel(tmp_path, capfd, progressive, cut, more, whole):
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)])[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "b.jpg").write_bytes(data[:-cut] + more)
    read = read_image(tmp_path / "b.jpg")
    assert np.array_equal(read, read_image(tmp_path / "a.jpg")) if whole else read is None
    assert capfd.readouterr().err == ""


def test_a_preview_inside_does_not_end_a_jpeg(tmp_path):
    preview = io.BytesIO()
    Image.new("RGB", (8, 8)).save(preview, "JPEG")
    exif = b"Exif\0\0" + preview.getvalue()
    data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))[1].tobytes()
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert jpeg_end(data) == len(data)
    (tmp_path / "a.jpg").write_bytes(data[:-500])
    assert read_image(tmp_path / "a.jpg") is None


@pytest.mark.parametrize("format", ["PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_what_a_file_is_its_bytes_say(tmp_path, format):
    Image.new("RGB", (30, 20), (10, 20, 30)).save(tmp_path / "a.jpg", format)
    assert read_image(tmp_path / "a.jpg") == pytest.approx(np.full((20, 30, 3), (30, 20, 10)), abs=8)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "BMP", "TIFF"])
def test_a_cut_file_of_other_formats_is_none(tmp_path, format):
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a", format)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-700])
    assert read_image(tmp_path / "a") is None


@pytest.mark.parametrize(
    ("pixels", "values"),
    [
        (np.array([[0, 32768, 65535]], np.uint16), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255]),
        (np.array([[-1, 0, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 65535 / 2, 65535]], np.int32), [0, 127, 255]),
        (np.array([[0, 1e6]], np.float32), [0, 255]),
        (np.array([[np.nan, 1]], np.float32), None),
        (np.zeros((2, 3), np.float32), [0]),
    ],
)
def test_deep_pixels_become_eight_bits(tmp_path, pixels, values):
    Image.fromarray(pixels).save(tmp_path / "a.tiff")
    image = read_image(tmp_path / "a.tiff")
    if values is None:
        assert image is None
    else:
        assert image.shape == (*pixels.shape, 3) and image.dtype == np.uint8
        assert np.unique(image).tolist() == values


def test_inks_become_colours(tmp_path):
    Image.new("RGB", (30, 20), (10, 200, 30)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert read_image(tmp_path / "a.jpg").mean((0, 1)) == pytest.approx([30, 200, 10], abs=4)


def test_the_first_frame_of_what_moves_and_the_colours_of_a_palette(tmp_path):
    frames = [Image.new("RGB", (30, 20), (value, 0, 0)) for value in (200, 10)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].convert("P").save(tmp_path / "p.png")
    for name in ("a.webp", "p.png"):
        assert read_image(tmp_path / name).mean((0, 1)) == pytest.approx([0, 0, 200], abs=5)


def test_a_name_that_is_no_utf_8_is_read_and_written(write_image, tmp_path):
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9.png")
    image = read_image(write_image(tmp_path / "a.png"))
    write_file(strange, image)
    assert (read_image(strange) == image).all()


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "a.xyz", tmp_path / "file" / "a.png"):
        with pytest.raises(InputError, match=f"^{path}: cannot be written"):
            write_file(path, np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize(
    ("size", "imgsz", "fitted"),
    [
        ((480, 640), 320, (240, 320)),
        ((640, 427), 320, (320, 214)),  # 427 / 2 = 213.5, rounded up
        ((10, 1000), 32, (1, 32)),
        ((100, 147), 640, (436, 641)),  # 147 · (640 / 147) is more than 640 in double precision
        ((187, 50), 192, (193, 52)),  # 50 · 192 / 187 = 51.3
        ((85, 17), 416, (417, 84)),  # 17 · 416 / 85 = 83.2
        ((5, 5), 5, (5, 5)),
    ],
)
def test_the_long_side_fits_and_the_short_one_is_rounded_up(size, imgsz, fitted):
    assert fitted_size(*size, imgsz) == fitted


@pytest.mark.parametrize("imgsz", [192, 416, 640])
def test_sides_exceed_the_exact_value_by_one_where_double_precision_does(imgsz):
    seen = set()
    for side in range(1, 1500):
        height, width = fitted_size(side, 1500, imgsz)
        exact = -(-side * imgsz // 1500)
        assert (height, width) == (math.ceil(side * (imgsz / 1500)), math.ceil(1500 * (imgsz / 1500)))
        assert height - exact in (0, 1)
        seen.add(fitted_size(side, side, imgsz)[0] - imgsz)
    assert seen == {0, 1}


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


def test_the_first_picture_of_a_gif(tmp_path):
    frames = [Image.new("RGB", (30, 20), (value, 0, 0)) for value in (200, 10)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "a.gif") == np.full((20, 30, 3), (0, 0, 200))).all()


def test_heic_photos_are_read_where_their_reader_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 48), (10, 200, 30))).save(tmp_path / "a.heic")
    assert read_image(tmp_path / "a.heic").shape == (48, 64, 3)
    assert read_image(tmp_path / "a.heic").mean((0, 1)) == pytest.approx([30, 200, 10], abs=4)


def test_what_reads_heic_photos_is_named_where_it_is_missing(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "a.jpg").write_bytes(b"no image")
    both = [tmp_path / "a.jpg", tmp_path / "a.heic"]
    assert "pip install pillow-heif" in missing_reader(both, heif=lambda: False)
    assert missing_reader(both, heif=lambda: True) == ""
    assert missing_reader([tmp_path / "a.jpg", tmp_path / "absent.heic"], heif=lambda: False) == ""
    assert read_image(tmp_path / "a.heic") is None
