"""Data sets that are fetched: what a data yaml may say, and where what comes is put."""

import zipfile

import pytest
import yaml

from utils.data.config import load_data, split_images
from utils.data.download.remote import Archive, obtain, read_download
from utils.errors import InputError
from utils.files.paths import ROOT

URL = "https://example.org/files/tiny.zip"
GOOD = {"path": "tiny", "train": "images/train", "val": "images/val", "names": ["cat"]}
CONTENT = {"images/train/a.jpg": "A", "images/val/b.jpg": "B", "labels/train/a.txt": ""}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a data yaml into the current folder and reads it."""
    monkeypatch.chdir(tmp_path)

    def write_yaml(**changes):
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**GOOD, "download": URL, **changes}))
        return load_data(tmp_path / "tiny.yaml")

    return write_yaml


@pytest.fixture
def internet(tmp_path):
    """Return a function that makes a `get` for split_images, of {address: {name in the zip file: text}}."""

    def make(**archives):
        def fetch(url, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(target, "w") as content:
                for name, text in archives[url.rpartition("/")[2].removesuffix(".zip")].items():
                    content.writestr(name, text)
            return target

        return lambda config: obtain(config, fetch=fetch)

    return make


def below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def inside(name):
    """Return the content of an archive with a folder around it."""
    return {f"{name}/{file}": text for file, text in CONTENT.items()}


def test_archives_of_one_name_do_not_take_each_others_place(write):
    sides = ("train", "val")
    config = write(download=[{f"https://example.org/{side}/images.zip": f"images/{side}"} for side in sides])
    seen = []

    def fetch(url, target):
        assert target not in seen
        seen.append(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w") as content:
            content.writestr(f"{url.split('/')[3]}.jpg", "")
        return target

    obtain(config, fetch=fetch)
    assert below(config.path) == {"images/train/train.jpg", "images/val/val.jpg"}
    assert not any(file.exists() for file in seen)


@pytest.mark.parametrize(
    ("value", "archives"),
    [
        (None, None),
        ("", None),
        (False, None),
        (URL, (Archive(URL),)),
        (f"{URL}\n{URL}2\n", (Archive(URL), Archive(f"{URL}2"))),
        ([URL, {URL: "images"}], (Archive(URL), Archive(URL, "images"))),
        ("bash get.sh https://example.org", "bash get.sh https://example.org"),
        ("import os\nos.remove('x')\n", "import os\nos.remove('x')"),
    ],
)
def test_values_of_download(value, archives):
    assert read_download(value, "a.yaml") == archives


@pytest.mark.parametrize(
    "value", [3, {URL: "images"}, ["bash get.sh"], [{URL: "../images"}], [{URL: "/images"}], [{URL: 3}], [None]]
)
def test_other_values_are_one_line(value):
    with pytest.raises(InputError, match="^a.yaml: download: "):
        read_download(value, "a.yaml")


@pytest.mark.parametrize("content", [inside("tiny"), CONTENT, inside("tiny-v3-export")], ids=["named", "bare", "other"])
def test_what_comes_ends_up_in_datasets(write, internet, tmp_path, content, capsys):
    config = write()
    assert split_images(config, "val", get=internet(tiny=content)) == [tmp_path / "datasets/tiny/images/val/b.jpg"]
    assert below(tmp_path) == {"tiny.yaml", *(f"datasets/tiny/{name}" for name in CONTENT)}
    assert len(split_images(load_data(config.file), "train", get=pytest.fail)) == 1
    assert str(tmp_path / "datasets/tiny") in capsys.readouterr().err


@pytest.mark.parametrize("path", ["../datasets/tiny", "datasets/tiny", "absolute"])
def test_a_path_with_folders_is_taken_at_its_word(tmp_path, monkeypatch, internet, path):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    path = str(tmp_path / "data/tiny") if path == "absolute" else path
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**GOOD, "path": path, "download": URL}))
    (found,) = split_images(load_data(tmp_path / "tiny.yaml"), "val", get=internet(tiny=inside("tiny")))
    assert found == (tmp_path / "work" / path).resolve() / "images/val/b.jpg"


def test_archives_of_one_set_are_put_together(write, internet, tmp_path):
    base = "https://example.org"
    addresses = [f"{base}/labels.zip", {f"{base}/train.zip": "images"}, {f"{base}/val.zip": "images"}]
    config = write(train="train.txt", val="val.txt", download=addresses)
    labels = {"tiny/train.txt": "images/train/a.jpg", "tiny/val.txt": "images/val/b.jpg", "tiny/labels/val/b.txt": ""}
    get = internet(labels=labels, train={"train/a.jpg": "A"}, val={"val/b.jpg": "B"})
    assert [path.read_text() for path in split_images(config, "train", get=get)] == ["A"]
    assert [path.read_text() for path in split_images(config, "val", get=get)] == ["B"]
    assert not list((tmp_path / "datasets").glob(".*")) + list((tmp_path / "datasets").glob("*.zip"))


def test_files_that_are_there_stay(write, internet, tmp_path):
    mine = tmp_path / "datasets/tiny/labels/train/a.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("0 0.5 0.5 1 1")
    split_images(write(), "train", get=internet(tiny=inside("tiny")))
    assert mine.read_text() == "0 0.5 0.5 1 1"
    assert (tmp_path / "datasets/tiny/images/train/a.jpg").is_file()


def test_a_set_that_is_partly_there_is_not_fetched(write, tmp_path):
    (tmp_path / "tiny/images/train").mkdir(parents=True)
    with pytest.raises(InputError) as error:
        split_images(write(), "val", get=pytest.fail)
    assert f"val: images/val not found; looked for {tmp_path / 'tiny/images/val'}" in str(error.value)
    assert str(error.value).endswith(f"the data come from {URL}")


def test_an_archive_without_the_images_is_one_line(write, internet):
    with pytest.raises(InputError, match="val: images/val not found"):
        split_images(write(), "val", get=internet(tiny={"readme.txt": "nothing"}))


def test_nothing_is_moved_from_an_archive_that_is_refused(write, internet, tmp_path):
    with pytest.raises(InputError, match="leads out of the folder; remove the file to fetch it again"):
        split_images(write(), "val", get=internet(tiny={**inside("tiny"), "../evil": "1"}))
    assert below(tmp_path) == {"tiny.yaml", "datasets/tiny.zip"}


def test_offline_says_what_to_put_where(write, tmp_path):
    config = write(download="http://127.0.0.1:9/tiny.zip")  # nothing listens there
    with pytest.raises(InputError) as error:
        split_images(config, "val")
    assert "http://127.0.0.1:9/tiny.zip" in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).endswith(f"put it at {tmp_path / 'datasets/tiny.zip'}")


def test_scripts_are_shown_and_never_run(write, tmp_path):
    script = f"from pathlib import Path\nPath('{tmp_path}/ran').touch()\n"
    config = write(download=script)
    with pytest.raises(InputError) as error:
        split_images(config, "val")
    first, *rest = str(error.value).splitlines()
    assert first.startswith(f"{config.file}: val: images/val not found")
    number = config.file.read_text().splitlines().index("download: 'from pathlib import Path") + 1
    assert f"{config.file}:{number}: download is no address, and scripts are never run" in first
    assert rest == [f"    {line}" for line in script.splitlines()]
    assert not (tmp_path / "ran").exists()


def test_what_is_shown_does_not_steer_the_terminal(write):
    with pytest.raises(InputError) as error:
        split_images(write(download="echo \x1b[2J\rétape"), "val")
    assert str(error.value).splitlines()[1:] == [r"    echo \x1b[2J\rétape"]


def test_the_projects_data_sets_have_addresses_or_instructions():
    found = {file.stem: load_data(file).download for file in (ROOT / "data").glob("*.yaml") if file.stem != "slim"}
    assert found["coco128"] == (Archive("https://ultralytics.com/assets/coco128.zip"),)
    assert [archive.folder for archive in found["coco"]] == [None, "images", "images"]
    assert isinstance(found["VOC"], str) and "VOCtest_06-Nov-2007.zip" in found["VOC"]
    assert found["bccd"] is found["shapes"] is None
