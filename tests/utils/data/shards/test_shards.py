"""Data sets in tars give the samples and the items of their folders, and WebDataset reads and writes the same tars."""

import io
import os
import tarfile

import cv2
import numpy as np
import pytest
import torch

from utils.data.caching.disk import on_disk
from utils.data.config import LabelRules, load_data
from utils.data.dataset import DetectionDataset
from utils.data.images import read_image
from utils.data.scanning.headers import photo_shape
from utils.data.shards.options import ShardsOptions
from utils.data.shards.places import located
from utils.data.shards.write import make_shards
from utils.data.splits import load_split
from utils.errors import InputError

POLYGON = "1 0.1 0.2 0.7 0.3 0.5 0.9\n0 0.123456789 0.5 0.2 0.2\n"
STILL = {
    **{"mosaic": 1.0, "mixup": 0.0, "copy_paste": 0.0, "degrees": 0.0, "translate": 0.1, "scale": 0.5, "shear": 0.0},
    **{"perspective": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "flipud": 0.0, "fliplr": 0.5},
}


@pytest.fixture
def folder(write_pair, tmp_path):
    """Return the data yaml of a folder of five photos, one without labels and one with a dot in its name."""
    for index, text in enumerate(["0 0.5 0.5 0.2 0.2\n", POLYGON, "", None]):
        write_pair(f"p{index}", text, height=30 + index, seed=index)
    write_pair("p4.old", seed=4)
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [a, ß]\n", encoding="utf-8")
    return tmp_path / "data.yaml"


@pytest.fixture
def shards(folder, tmp_path):
    """Return the data yaml of the same in tars of two photos."""
    make_shards(ShardsOptions(data=str(folder), out=str(tmp_path / "shards"), photos=2))
    return tmp_path / "shards" / "data.yaml"


def train(file, **rules):
    """Return the training samples of a data yaml."""
    return load_split(load_data(file, LabelRules(**rules)), "train", progress=False)[0]


def write_tar(path, files):
    """Write a tar of {name: bytes}."""
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def only(tmp_path, files):
    """Return the data yaml of one tar."""
    write_tar(tmp_path / "a.tar", files)
    (tmp_path / "tar.yaml").write_text("train: a.tar\nnc: 1\n")
    return tmp_path / "tar.yaml"


def png(value=9):
    """Return the bytes of a small photo."""
    return cv2.imencode(".png", np.full((6, 8, 3), value, np.uint8))[1].tobytes()


def test_tars_hold_the_samples_of_the_folder_to_the_bit(folder, shards):
    own, packed = train(folder), train(shards)
    assert load_data(shards).names == load_data(folder).names and len(packed) == 5
    for ours, theirs in zip(own, packed):
        assert ours.shape == theirs.shape and np.array_equal(ours.labels, theirs.labels)
        assert (ours.segments is None) == (theirs.segments is None)
        assert np.array_equal(read_image(ours.path), read_image(theirs.path))
    assert np.array_equal(own[1].segments[0], packed[1].segments[0]) and packed[1].segments[1] is None
    assert sorted(path.name for path in shards.parent.glob("*.tar")) == [f"train-00000{i}.tar" for i in range(3)]


@pytest.mark.parametrize("cache", [None, "ram"])
@pytest.mark.parametrize("hyp", [None, STILL], ids=["val", "train"])
def test_items_are_those_of_the_folder(folder, shards, cache, hyp):
    own = DetectionDataset(train(folder), 64, hyp=hyp, progress=False)
    packed = DetectionDataset(train(shards), 64, hyp=hyp, cache=cache, progress=False)
    for index in range(5):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(own[index][:2], packed[index][:2]))


def test_the_index_is_read_again_when_a_tar_changed(shards):
    before = train(shards)
    tar = shards.parent / "train-000001.tar"
    assert (shards.parent / "train-000000.train.index.npz").is_file()
    write_tar(tar, {"x.png": png(), "x.txt": b"0 0.5 0.5 0.1 0.1\n"})
    after = train(shards)
    assert (len(before), len(after)) == (5, 4) and after.paths[2].endswith("x.png")
    for file in shards.parent.glob("*.npz"):
        file.write_bytes(b"no index")
    assert list(train(shards).paths) == list(after.paths)


def test_a_row_that_cannot_be_read_is_named_with_its_tar(tmp_path):
    data = only(tmp_path, {"some/a.png": png(), "some/a.txt": b"0 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.2 0.2\n"})
    with pytest.raises(InputError, match=r"a\.tar/a\.txt:2: class 7"):
        train(data)
    assert len(train(data, skip_bad=True)[0].labels) == 1


def test_what_is_no_photo_and_no_label_is_counted(tmp_path, capsys):
    names = ["a.cls", "b.txt", "._a.png", "a.jpg"]
    train(only(tmp_path, {"a.png": png(), "a.txt": b"", **dict.fromkeys(names, b"1")}))
    assert "4 files in the tars" in capsys.readouterr().err


def test_a_broken_photo_counts_as_one_that_cannot_be_read(tmp_path, capsys):
    files = {f"{index:02}.png": png(index) for index in range(10)} | {"10.png": png()[:60], "00.txt": b""}
    assert len(train(only(tmp_path, files))) == 10
    assert "1 of 11 images cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda data: data[:1000], "not a whole tar|cut off"),
        (lambda data: data[: data.rindex(b"ustar") - 257 + 1024], "cut off"),
        (lambda data: data + data, "goes on behind its end"),
        (lambda data: b"", "not a whole tar"),
        (lambda data: b"\x1f\x8b" + data, "not a whole tar"),
    ],
    ids=["in a file", "at the end of a file", "joined", "empty", "packed"],
)
def test_a_tar_that_does_not_end_as_it_should_is_refused(tmp_path, spoil, match):
    data = only(tmp_path, {"a.png": png(), "a.txt": b"0 0.5 0.5 0.2 0.2\n"})
    tar = tmp_path / "a.tar"
    tar.write_bytes(spoil(tar.read_bytes()))
    with pytest.raises(InputError, match=rf"a\.tar: .*({match})"):
        train(data)


def test_tars_without_one_label_are_refused_and_the_first_missing_one_is_named(tmp_path, capsys):
    with pytest.raises(InputError, match=r"none of 1 images has a label file.* a\.txt in its tar"):
        train(only(tmp_path, {"a.png": png()}))
    train(only(tmp_path, {"a.png": png(), "b.png": png(), "a.txt": b""}))
    assert "such as b.txt in its tar: background" in capsys.readouterr().err


def test_a_tar_without_photos_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.tar: no images"):
        train(only(tmp_path, {"a.txt": b""}))


def test_entries_with_a_range_name_each_tar(tmp_path):
    file = tmp_path / "data.yaml"
    file.write_text("train: ['s/t-{08..10}.tar', 's/{1..2}-{0..1}.tar', 'd{1..2}']\nnc: 1\n")
    assert load_data(file).train[:3] == ("s/t-08.tar", "s/t-09.tar", "s/t-10.tar")
    assert load_data(file).train[3:] == ("s/1-0.tar", "s/1-1.tar", "s/2-0.tar", "s/2-1.tar", "d{1..2}")
    file.write_text("train: s/t-{3..1}.tar\nnc: 1\n")
    with pytest.raises(InputError, match="must rise"):
        load_data(file)


def test_a_missing_tar_is_named_and_tars_do_not_mix_with_folders(folder, shards):
    os.remove(shards.parent / "train-000002.tar")
    with pytest.raises(InputError, match=r"train-000002\.tar not found"):
        train(shards)
    folder.write_text("train: [images/train, shards/train-000000.tar]\nnc: 2\n")
    with pytest.raises(InputError, match="cannot be mixed"):
        train(folder)


def test_names_that_are_there_twice_stay_two_photos(write_image, tmp_path):
    for name in ("a/x.png", "b/x.png", "a/x-1.png"):
        write_image(tmp_path / name)
    (tmp_path / "data.yaml").write_text("train: [a, b]\nnc: 1\n")
    (tmp_path / "a" / "x.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    make_shards(ShardsOptions(data=str(tmp_path / "data.yaml"), out=str(tmp_path / "out")))
    assert len(set(train(tmp_path / "out" / "data.yaml").paths)) == 3


def test_an_output_that_is_there_and_no_data_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="is there already"):
        make_shards(ShardsOptions(data=str(folder), out=str(tmp_path)))
    with pytest.raises(InputError, match="--data"):
        make_shards(ShardsOptions())


def test_photos_in_tars_are_not_cached_on_disk(shards, capsys):
    assert not on_disk(list(train(shards).paths), 1, False)
    assert "not cached" in capsys.readouterr().err


def test_the_head_of_a_photo_ends_where_the_photo_ends(tmp_path):
    path = train(only(tmp_path, {"a.png": png(), "a.txt": b""})).paths[0]
    place = located(path)
    assert photo_shape(path) == (6, 8) and place.read() == png() and place.read(4) == png()[:4]
    cut = path.replace(f"+{place.size}/", f"+{place.size // 2}/")
    assert photo_shape(cut) is None and read_image(cut) is None


def test_webdataset_reads_what_is_written(folder, shards):
    webdataset = pytest.importorskip("webdataset")
    tars = [str(shards.parent / f"train-00000{index}.tar") for index in range(3)]
    found = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert [sample["__key__"] for sample in found] == ["p0", "p1", "p2", "p3", "p4_old"]
    assert [sample["png"] for sample in found] == [located(path).read() for path in train(folder).paths]


def test_what_webdataset_writes_is_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        for index in range(3):
            writer.write({"__key__": f"k/{index}", "png": png(index), "txt": "0 0.5 0.5 0.2 0.2\n"})
    (tmp_path / "data.yaml").write_text("train: a.tar\nnc: 1\n")
    samples = train(tmp_path / "data.yaml")
    assert [read_image(sample.path)[0, 0, 0] for sample in samples] == [0, 1, 2]
    assert all(sample.labels.tolist() == [pytest.approx([0, 0.5, 0.5, 0.2, 0.2])] for sample in samples)
