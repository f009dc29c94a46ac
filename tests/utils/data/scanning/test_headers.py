"""Sizes of photos by their heads and ends: the same as the decoder finds, whatever the file."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from utils.data.images import read_image
from utils.data.scanning import headers
from utils.data.scanning.headers import photo_shape

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
KINDS = {
    "jpeg": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
}


@pytest.fixture
def undecoded(monkeypatch):
    """Let any decoding fail."""
    monkeypatch.setattr(headers, "read_image", lambda path: pytest.fail(f"{path} was decoded"))


def encoded(kind, mode="RGB", **more):
    stream = io.BytesIO()
    format, options = KINDS[kind]
    Image.fromarray(PIXELS).convert(mode).save(stream, format, **options, **more)
    return stream.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a description that comes first", orientation
    return exif


@pytest.mark.parametrize("kind", KINDS)
def test_whole_photos_are_not_decoded(tmp_path, undecoded, kind):
    (tmp_path / "a.jpg").write_bytes(encoded(kind))
    assert photo_shape(tmp_path / "a.jpg") == (40, 50)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_four_inks_are_not_decoded(tmp_path, undecoded, mode):
    (tmp_path / "a.jpg").write_bytes(encoded("jpeg", mode))
    assert photo_shape(tmp_path / "a.jpg") == (40, 50)


@pytest.mark.parametrize("orientation", range(10))
def test_jpeg_turned_by_exif(tmp_path, undecoded, orientation):
    (tmp_path / "a.jpg").write_bytes(encoded("jpeg", exif=turned(orientation)))
    assert photo_shape(tmp_path / "a.jpg") == ((50, 40) if orientation in (5, 6, 7, 8) else (40, 50))
    assert read_image(tmp_path / "a.jpg").shape[:2] == photo_shape(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["png", "webp"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_other_formats_turned_by_exif_are_as_the_decoder_has_them(tmp_path, kind, orientation):
    (tmp_path / "a.jpg").write_bytes(encoded(kind, exif=turned(orientation)))
    assert photo_shape(tmp_path / "a.jpg") == read_image(tmp_path / "a.jpg").shape[:2]


def segment(kind, data):
    return b"\xff" + bytes([kind]) + (len(data) + 2).to_bytes(2, "big") + data


@pytest.mark.parametrize(
    "first", [b"http://ns.adobe.com/xap/1.0/\0<x/>", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0??", b"", b"Exif"]
)
def test_what_stands_before_exif_does_not_mislead(tmp_path, first):
    data = encoded("jpeg", exif=turned(6))
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment(0xE1, first) + data[2:])
    assert photo_shape(tmp_path / "a.jpg") == read_image(tmp_path / "a.jpg").shape[:2]


def test_long_notes_before_the_frame_are_passed_over(tmp_path, undecoded):
    data = encoded("jpeg")
    notes = segment(0xE2, bytes(60000)) * 3 + segment(0xED, b"\xff\xd9\xff\xc0" * 999)
    (tmp_path / "a.jpg").write_bytes(data[:2] + notes + data[2:])
    assert photo_shape(tmp_path / "a.jpg") == (40, 50)


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_a_file_is_cut_it_is_what_the_decoder_makes_of_it(tmp_path, kind):
    whole, file = encoded(kind), tmp_path / "a.jpg"
    places = {*range(0, 60, 3), *np.linspace(60, len(whole) - 1, 30).astype(int).tolist(), len(whole) - 1}
    for place in sorted(places):
        file.write_bytes(whole[:place])
        image = read_image(file)
        assert photo_shape(file) == (None if image is None else image.shape[:2]), place


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_behind_the_end_change_nothing(tmp_path, kind):
    (tmp_path / "a.jpg").write_bytes(encoded(kind) + b"notes of a camera" * 20)
    image = read_image(tmp_path / "a.jpg")
    assert photo_shape(tmp_path / "a.jpg") == (None if image is None else image.shape[:2])


def test_pixels_are_looked_at_on_demand(tmp_path):
    data = bytearray(encoded("png"))
    start = data.index(b"IDAT") + 4
    data[start:-12] = bytes(len(data) - start - 12)
    (tmp_path / "a.png").write_bytes(data)
    assert photo_shape(tmp_path / "a.png") == (40, 50)
    assert photo_shape(tmp_path / "a.png", decode=True) is None


@pytest.mark.parametrize("format", ["TIFF", "GIF", "AVIF", "ICO"])
def test_other_formats_are_decoded(tmp_path, format):
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", format)
    assert photo_shape(tmp_path / "a.jpg") == read_image(tmp_path / "a.jpg").shape[:2]


def test_what_is_no_file_has_no_shape(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, tmp_path / "absent.png", "a\0b.png"):
        assert photo_shape(path) is None


def test_any_byte_of_a_head_may_be_wrong(tmp_path):
    rng, file = np.random.default_rng(0), tmp_path / "a.jpg"
    for kind in KINDS:
        whole = encoded(kind, **({"exif": turned(6)} if kind == "jpeg" else {}))
        for place in rng.choice(min(len(whole), 700), 60, replace=False):
            spoiled = bytearray(whole)
            spoiled[place] ^= int(rng.integers(1, 256))
            file.write_bytes(spoiled)
            shape, image = photo_shape(file), read_image(file)
            assert shape is None or min(shape) > 0
            assert shape or image is None
