"""Decoded photos in memory and on disk, and what tells one photo from another."""

import os

import cv2
import numpy as np
import pytest

from utils.data.caching.disk import load_photo, npy_path, on_disk, photo_key, store_photo


@pytest.fixture
def photo(write_image, tmp_path):
    """Return the path of a photo that is cached on disk."""
    path = write_image(tmp_path / "a.png")
    store_photo(path)
    return path


def replace(path, value, **times):
    """Put another photo of one grey in place of a file, with other times."""
    cv2.imwrite(str(path), np.full((8, 10, 3), value, np.uint8))
    os.utime(path, **times)


def test_a_cached_photo_is_read_from_its_npy(photo):
    assert np.array_equal(np.load(npy_path(photo), allow_pickle=False), load_photo(photo))
    size = npy_path(photo).stat().st_size
    changed = np.load(npy_path(photo)) ^ 1
    with open(npy_path(photo), "r+b") as stream:
        stream.seek(size - len(photo_key(photo)) - changed.nbytes)
        stream.write(changed.tobytes())
    assert np.array_equal(load_photo(photo), changed)


@pytest.mark.parametrize("seconds", [-1000, 0, 1000])
def test_another_photo_of_any_date_is_read_anew_and_stored_anew(photo, seconds):
    time = photo.stat().st_mtime_ns + seconds * 10**9
    replace(photo, 9, ns=(time, time))
    assert np.unique(load_photo(photo)).tolist() == [9]
    store_photo(photo)
    assert np.unique(np.load(npy_path(photo))).tolist() == [9]


def test_the_key_looks_at_size_time_head_and_tail(tmp_path):
    file, keys = tmp_path / "a.bin", []
    for content in (bytes(20000), b"\1" + bytes(19999), bytes(19999) + b"\1", bytes(20001)):
        file.write_bytes(content)
        os.utime(file, ns=(5, 5))
        keys.append(photo_key(file))
    os.utime(file, ns=(5, 6))
    assert len({*keys, photo_key(file)}) == 5


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: np.save(file, np.zeros((2, 2, 3), np.uint8)),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-3]),
        lambda file: file.write_bytes(b"text" + file.read_bytes()[-72:]),
    ],
    ids=["an older kind", "empty", "cut", "no array"],
)
def test_a_cache_of_another_kind_is_replaced(photo, spoil):
    image = load_photo(photo)
    whole = npy_path(photo).read_bytes()
    spoil(npy_path(photo))
    assert np.array_equal(load_photo(photo), image)
    store_photo(photo)
    assert npy_path(photo).read_bytes() == whole


def test_images_that_differ_in_their_suffix_have_caches_of_their_own(tmp_path):
    assert npy_path(tmp_path / "a.png") != npy_path(tmp_path / "a.bmp")


def test_a_folder_that_may_not_be_written_means_no_cache(write_image, tmp_path, capsys):
    path = write_image(tmp_path / "photos" / "a.png")
    path.parent.chmod(0o555)
    try:
        assert not on_disk([str(path)], 1, False)
    finally:
        path.parent.chmod(0o755)
    assert capsys.readouterr().err.count("images are not cached") == 1
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
