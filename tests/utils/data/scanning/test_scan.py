"""The scan of a split with its cache."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from utils.data.config import DataConfig, LabelRules
from utils.data.formats.files import LabelFiles
from utils.data.formats.places import label_path
from utils.data.scanning import scan as module
from utils.errors import InputError


def scan(images, nc, cache=None, rules=None, **options):
    """Scan images with label files of nc classes."""
    names = {index: str(index) for index in range(nc)}
    config = DataConfig(Path("a.yaml"), Path(), (), None, None, None, names, None, rules or LabelRules())
    return module.scan(LabelFiles(images, config), cache, **{"progress": False, **options})


@pytest.fixture
def opened(monkeypatch):
    """Return the list of images that are looked at from now on."""
    seen, look = [], module.photo_shape
    monkeypatch.setattr(module, "photo_shape", lambda path, decode: seen.append(Path(path)) or look(path, decode))
    return seen


def facts(scanned):
    """Return all that a scan says, comparable."""
    samples, counts = scanned
    points = [[None if s is None else s.tolist() for s in sample.segments or ()] for sample in samples]
    return [(s.path, s.shape, s.labels.tolist()) for s in samples], points, counts


def test_scan_reads_sizes_and_counts_what_it_meets(write_pair, write_image):
    images = [
        write_pair("a", "0 .5 .5 .2 .2\n0 .5 .5 .2 .2\n", height=6, width=9),
        write_pair("b", ""),
        write_pair("c", None),
        write_pair("d"),
        *(write_pair(name) for name in "efghij"),
    ]
    images[3].write_bytes(images[3].read_bytes()[:20])
    samples, counts = scan(images, 1, workers=2)
    assert [sample.path for sample in samples] == [str(images[i]) for i in (0, 1, 2, *range(4, 10))]
    assert samples[0].shape == (6, 9)
    assert [len(sample.labels) for sample in samples] == [1, 0, 0, *[1] * 6]
    assert str(counts) == "8 found, 1 missing, 1 empty, 1 corrupt, 1 duplicate"


@pytest.fixture
def many(write_pair):
    """Return twenty labelled images."""
    return [write_pair(f"{index:02}") for index in range(20)]


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (lambda image: image.unlink(), "absent", "are not there"),
        (lambda image: image.write_bytes(b"no image"), "corrupt", "cannot be read"),
        (lambda image: image.write_bytes(b""), "corrupt", "cannot be read"),
    ],
    ids=["absent", "no image", "empty"],
)
def test_a_tenth_may_be_missing_which_is_named_and_more_is_refused(many, capsys, tmp_path, spoil, kind, words):
    for image in many[:2]:
        spoil(image)
    samples, counts = scan(many, 1, tmp_path / "c.npz")
    assert [sample.path for sample in samples] == list(map(str, many[2:]))
    assert getattr(counts, kind) == 2
    assert capsys.readouterr().err == f"images: 2 of 20 images {words}: {many[0]}, {many[1].name}\n"
    for image in many[2:8]:
        spoil(image)
    with pytest.raises(InputError, match=f"8 of 20 images {words}") as error:
        scan(many, 1, tmp_path / "c.npz", hint="; sought here")
    assert [image.name in str(error.value) for image in many[:8]] == [True] * 5 + [False] * 3
    assert "and 3 more" in str(error.value)
    assert ("; sought here" in str(error.value)) == (kind == "absent")


def test_rows_that_cannot_be_read_are_listed_or_left_out_and_counted(write_pair, tmp_path, capsys):
    images = [write_pair("a", "0 .5 .5 .2 .2\n5 .5 .5 .2 .2\n"), write_pair("b", "0 .5 x .2 .2\n"), write_pair("c")]
    with pytest.raises(InputError) as error:
        scan(images, 1, tmp_path / "c.npz")
    assert [line.split(": ")[0].strip() for line in str(error.value).splitlines()[1:]] == [
        f"{label_path(images[0])}:2",
        f"{label_path(images[1])}:1",
    ]
    for _ in range(2):  # scanned, then from the cache
        samples, counts = scan(images, 1, tmp_path / "c.npz", LabelRules(skip_bad=True))
        assert ([len(sample.labels) for sample in samples], counts.skipped) == ([1, 0, 1], 2)
    assert capsys.readouterr().err.count("images: 2 label rows cannot be read") <= 1


def test_where_most_labels_are_missing_the_likely_place_is_named(many, capsys, tmp_path):
    for image in many[1:]:
        (tmp_path / "far").mkdir(exist_ok=True)
        label_path(image).rename(tmp_path / "far" / f"{image.stem}.txt")
    _, counts = scan(many, 1)
    assert counts.missing == 19
    message = capsys.readouterr().err
    assert f"such as {label_path(many[1])}" in message
    assert str(tmp_path / "far/01.txt") in message


def test_a_few_without_labels_are_background_and_counted(many, capsys):
    label_path(many[3]).unlink()
    assert scan(many, 1)[1].missing == 1
    assert f"1 of 20 images have no label file, such as {label_path(many[3])}: background\n" in capsys.readouterr().err


def test_no_object_at_all_is_said(write_pair, capsys):
    assert scan([write_pair("a", "")], 1)[1].empty == 1
    assert "not one object in 1 images" in capsys.readouterr().err


def test_no_label_file_at_all_is_refused(write_pair):
    with pytest.raises(InputError, match=r"none of 2 images has a label file.*labels/train/a\.txt"):
        scan([write_pair("a", None), write_pair("b", None)], 1)


def test_a_bad_row_stops_the_scan_and_leaves_no_cache(write_pair, tmp_path):
    with pytest.raises(InputError, match=r"a\.txt:1: class 1"):
        scan([write_pair("a", "1 .5 .5 .2 .2")], 1, tmp_path / "c.npz")
    assert not list(tmp_path.glob("*.*"))


def test_the_cache_says_the_same_without_opening_images(write_pair, tmp_path, opened):
    images = [
        write_pair("a", "0 .5 .5 .2 .2\n1 .25 .5 .75 .5 .5 1\n0 .5 .5 .2 .2\n"),
        write_pair("b", ""),
        write_pair("c", None),
        write_pair("d", "1 0 0 1 0 1 1 0 1\n", height=3),
        write_pair("e", "0 .9 .5 .4 .2\n0 .5 .5 0 .2\n"),
        *(write_pair(name) for name in "fghij"),
    ]
    images[9].write_bytes(b"no image")
    first = facts(scan(images, 2, tmp_path / "c.npz"))
    assert len(opened) == 10
    assert facts(scan(images, 2, tmp_path / "c.npz")) == first
    assert len(opened) == 10


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
    images = [write_pair(name) for name in "abcdefghij"]
    scan(images, 1, tmp_path / "c.npz")
    change(images[0], label_path(images[0]))
    fresh = facts(scan(images, 1))
    opened.clear()
    assert facts(scan(images, 1, tmp_path / "c.npz")) == fresh
    assert opened == images


def test_the_cache_ends_with_other_images_or_classes(write_pair, tmp_path, opened):
    images = [write_pair("a"), write_pair("b", "1 .5 .5 .2 .2")]
    scan(images, 2, tmp_path / "c.npz")
    assert len(scan(images[:1], 2, tmp_path / "c.npz")[0]) == 1
    assert len(opened) == 3
    with pytest.raises(InputError, match="class 1"):
        scan(images, 1, tmp_path / "c.npz")


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
    first = facts(scan(images, 1, cache))
    spoil(cache)
    assert facts(scan(images, 1, cache)) == first
    assert facts(scan(images, 1, cache)) == first
    assert len(opened) == 2


def test_a_cache_with_any_byte_changed_does_no_harm(write_pair, tmp_path):
    images, cache = [write_pair("a")], tmp_path / "c.npz"
    first = facts(scan(images, 1, cache))
    whole = bytearray(cache.read_bytes())
    for place in np.random.default_rng(0).choice(len(whole), 100, replace=False):
        spoiled = whole.copy()
        spoiled[place] ^= 255
        cache.write_bytes(spoiled)
        assert facts(scan(images, 1, cache)) == first


def test_the_cache_holds_no_pickle(write_pair, tmp_path):
    scan([write_pair("a", "0 0 0 1 0 1 1\n"), write_pair("b")], 1, tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_where_no_cache_can_be_written_there_is_none(write_pair, tmp_path):
    samples, _ = scan([write_pair("a")], 1, tmp_path / "absent" / "c.npz")
    assert len(samples) == 1
    assert not (tmp_path / "absent").exists()


def test_a_scan_writes_no_cache_beside_labels_marked_read_only(write_pair, tmp_path):
    images, labels = [write_pair("a")], tmp_path / "labels"
    labels.chmod(0o555)
    try:
        samples, _ = scan(images, 1, labels / "train.cache.npz")
        assert len(samples) == 1
        assert [entry.name for entry in labels.iterdir()] == ["train"]
    finally:
        labels.chmod(0o755)


def test_every_photo_is_decoded_on_demand_and_the_caches_do_not_mix(many, tmp_path):
    data = bytearray(many[0].read_bytes())
    start = data.index(b"IDAT") + 4
    data[start:-12] = bytes(len(data) - start - 12)
    many[0].write_bytes(data)
    for check in (False, True, False):
        samples, counts = scan(many, 1, tmp_path / "c.npz", LabelRules(check_photos=check))
        assert (len(samples), counts.corrupt) == ((19, 1) if check else (20, 0))
