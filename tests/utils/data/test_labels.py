"""Label files written by hand, and the scan of a split with its cache."""

import os
import pickle

import numpy as np
import pytest

from utils.data import labels
from utils.data.labels import label_path, read_label_file, scan
from utils.errors import InputError


@pytest.fixture
def rows(tmp_path):
    """Return a function that reads text as a label file of three classes."""

    def read(text):
        (tmp_path / "a.txt").write_text(text)
        return read_label_file(tmp_path / "a.txt", 3)

    return read


@pytest.fixture
def opened(monkeypatch):
    """Return the list of images that are decoded from now on."""
    seen, read = [], labels.read_image
    monkeypatch.setattr(labels, "read_image", lambda path: seen.append(path) or read(path))
    return seen


def facts(scanned):
    """Return all that a scan says, comparable."""
    samples, counts = scanned
    points = [[None if s is None else s.tolist() for s in sample.segments or ()] for sample in samples]
    return [(s.path, s.shape, s.labels.tolist()) for s in samples], points, counts


def test_boxes_are_read_as_they_stand(rows):
    boxes, segments, duplicates = rows("0 0.5 0.25 0.125 1\n\n  2 0 1 0.5 0.5  \n")
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[0, 0.5, 0.25, 0.125, 1], [2, 0, 1, 0.5, 0.5]]
    assert (segments, duplicates) == (None, 0)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_has_no_boxes(rows, text):
    boxes, segments, duplicates = rows(text)
    assert boxes.shape == (0, 5)
    assert (segments, duplicates) == (None, 0)


def test_the_box_of_a_polygon_is_its_bounds(rows):
    boxes, segments, _ = rows("1 0.25 0.5 0.75 0.5 0.5 1\n0 0.5 0.5 0.5 0.5\n")
    assert boxes.tolist() == [[1, 0.5, 0.75, 0.5, 0.5], [0, 0.5, 0.5, 0.5, 0.5]]
    assert segments[0].tolist() == [[0.25, 0.5], [0.75, 0.5], [0.5, 1]]
    assert segments[1] is None


def test_repeated_rows_are_dropped_and_counted(rows):
    boxes, _, duplicates = rows("0 .5 .5 .2 .2\n1 .5 .5 .2 .2\n0 0.50 0.5 0.2 0.2\n0 .5 .5 .2 .2\n")
    assert boxes[:, 0].tolist() == [0, 1]
    assert duplicates == 2


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0 0.5 0.5 0.2", "4 columns"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 columns"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 columns"),
        ("0 0.5 nan 0.2 0.2", "value nan"),
        ("0 inf 0.5 0.2 0.2", "value inf"),
        ("0 0.5 0.5 0.2 1.01", "value 1.01"),
        ("0 -0.01 0.5 0.2 0.2", "value -0.01"),
        ("0 320 240 50 50", "value 320"),
        ("0 0.1 0.1 0.2 0.2 0.3 1.5", "value 1.5"),
        ("3 0.5 0.5 0.2 0.2", "class 3; must be a whole number from 0 to 2"),
        ("-1 0.5 0.5 0.2 0.2", "class -1"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5"),
        ("nan 0.5 0.5 0.2 0.2", "class nan"),
        ("cat 0.5 0.5 0.2 0.2", "'cat' is not a number"),
    ],
)
def test_a_bad_row_is_one_line_that_names_file_and_line(rows, tmp_path, row, words):
    with pytest.raises(InputError) as error:
        rows(f"0 0.5 0.5 0.2 0.2\n\n{row}\n")
    assert str(error.value).startswith(f"{tmp_path / 'a.txt'}:3: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_rounding_errors_of_writers_are_forgiven(rows):
    assert len(rows("0 0.5 0.5 1.0000001 1\n").boxes) == 1


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("set/images/train/a.jpg", "set/labels/train/a.txt"),
        ("images/x/images/a.b.png", "images/x/labels/a.b.txt"),
        ("photos/a.jpg", "photos/a.txt"),
        ("my_images/images.jpg", "my_images/images.txt"),
    ],
)
def test_where_the_labels_of_an_image_are(image, label):
    assert label_path(image).as_posix() == label


def test_scan_reads_sizes_and_counts_what_it_meets(write_pair, write_image):
    images = [
        write_pair("a", "0 .5 .5 .2 .2\n0 .5 .5 .2 .2\n", height=6, width=9),
        write_pair("b", ""),
        write_pair("c", None),
        write_pair("d"),
        write_pair("e"),
    ]
    images[3].write_bytes(images[3].read_bytes()[:20])
    samples, counts = scan(images, 1, progress=False, workers=2)
    assert [sample.path for sample in samples] == [str(images[i]) for i in (0, 1, 2, 4)]
    assert samples[0].shape == (6, 9)
    assert [len(sample.labels) for sample in samples] == [1, 0, 0, 1]
    assert str(counts) == "3 found, 1 missing, 1 empty, 1 corrupt, 1 duplicate"


def test_a_jpeg_without_its_end_is_corrupt(write_pair, write_image):
    images = [write_pair("a"), write_pair("b"), write_pair("c")]
    cut = write_image(images[0].with_name("cut.jpg"), 64, 64)
    cut.write_bytes(cut.read_bytes()[:-200])
    assert scan([*images, cut], 1, progress=False)[1].corrupt == 1


def test_half_corrupt_is_accepted_and_more_refused(write_pair):
    images = [write_pair(name) for name in "abcd"]
    for image in images[:2]:
        image.write_bytes(b"no image")
    assert scan(images, 1, progress=False)[1].corrupt == 2
    images[2].write_bytes(b"")
    with pytest.raises(InputError, match="3 of 4 images cannot be read"):
        scan(images, 1, progress=False)


def test_no_label_file_at_all_is_refused(write_pair):
    with pytest.raises(InputError, match=r"none of 2 images has a label file.*labels/train/a\.txt"):
        scan([write_pair("a", None), write_pair("b", None)], 1, progress=False)


def test_a_bad_row_stops_the_scan_and_leaves_no_cache(write_pair, tmp_path):
    with pytest.raises(InputError, match=r"a\.txt:1: class 1"):
        scan([write_pair("a", "1 .5 .5 .2 .2")], 1, tmp_path / "c.npz", progress=False)
    assert not list(tmp_path.glob("*.*"))


def test_the_cache_says_the_same_without_opening_images(write_pair, tmp_path, opened):
    images = [
        write_pair("a", "0 .5 .5 .2 .2\n1 .25 .5 .75 .5 .5 1\n0 .5 .5 .2 .2\n"),
        write_pair("b", ""),
        write_pair("c", None),
        write_pair("d", "1 0 0 1 0 1 1 0 1\n", height=3),
        write_pair("e"),
    ]
    images[4].write_bytes(b"no image")
    first = facts(scan(images, 2, tmp_path / "c.npz", progress=False))
    assert len(opened) == 5
    assert facts(scan(images, 2, tmp_path / "c.npz", progress=False)) == first
    assert len(opened) == 5


def touch_later(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda image, label: label.write_text("0 0.4 0.5 0.2 0.2\n0 0.6 0.5 0.2 0.2\n"),
        lambda image, label: touch_later(label),
        lambda image, label: touch_later(image),
        lambda image, label: label.unlink(),
        lambda image, label: image.write_bytes(b"no image"),
    ],
    ids=["label edited", "label touched", "image touched", "label removed", "image broken"],
)
def test_the_cache_ends_when_a_file_changes(write_pair, tmp_path, opened, change):
    images = [write_pair("a"), write_pair("b")]
    scan(images, 1, tmp_path / "c.npz", progress=False)
    change(images[0], label_path(images[0]))
    fresh = facts(scan(images, 1, progress=False))
    opened.clear()
    assert facts(scan(images, 1, tmp_path / "c.npz", progress=False)) == fresh
    assert opened == images


def test_the_cache_ends_with_other_images_or_classes(write_pair, tmp_path, opened):
    images = [write_pair("a"), write_pair("b", "1 .5 .5 .2 .2")]
    scan(images, 2, tmp_path / "c.npz", progress=False)
    assert len(scan(images[:1], 2, tmp_path / "c.npz", progress=False)[0]) == 1
    assert len(opened) == 3
    with pytest.raises(InputError, match="class 1"):
        scan(images, 1, tmp_path / "c.npz", progress=False)


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a cache was unpickled",)


def bare_array(path):
    with open(path, "wb") as stream:
        np.save(stream, np.zeros(3))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"garbage"),
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: path.write_bytes(pickle.dumps(Bomb())),
        lambda path: np.savez(path, key=np.array(Bomb(), object)),
        lambda path: np.savez(path, other=np.zeros(1)),
        bare_array,
    ],
    ids=["empty", "garbage", "cut", "pickle", "pickle in npz", "other arrays", "one array"],
)
def test_an_unreadable_cache_is_replaced(write_pair, tmp_path, opened, spoil):
    images, cache = [write_pair("a")], tmp_path / "c.npz"
    first = facts(scan(images, 1, cache, progress=False))
    spoil(cache)
    assert facts(scan(images, 1, cache, progress=False)) == first
    assert facts(scan(images, 1, cache, progress=False)) == first
    assert len(opened) == 2


def test_a_cache_with_any_byte_changed_does_no_harm(write_pair, tmp_path):
    images, cache = [write_pair("a")], tmp_path / "c.npz"
    first = facts(scan(images, 1, cache, progress=False))
    whole = bytearray(cache.read_bytes())
    for place in np.random.default_rng(0).choice(len(whole), 100, replace=False):
        spoiled = whole.copy()
        spoiled[place] ^= 255
        cache.write_bytes(spoiled)
        assert facts(scan(images, 1, cache, progress=False)) == first


def test_the_cache_holds_no_pickle(write_pair, tmp_path):
    scan([write_pair("a", "0 0 0 1 0 1 1\n"), write_pair("b")], 1, tmp_path / "c.npz", progress=False)
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_where_no_cache_can_be_written_there_is_none(write_pair, tmp_path):
    samples, _ = scan([write_pair("a")], 1, tmp_path / "absent" / "c.npz", progress=False)
    assert len(samples) == 1
    assert not (tmp_path / "absent").exists()
