"""The data yaml and the images it names."""

import pytest
import yaml

from utils.data.config import load_data, split_images
from utils.errors import InputError
from utils.files.paths import ROOT

GOOD = {"path": "set", "train": "images/train", "val": "images/val", "names": ["cat", "dog"]}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a data yaml with changes in the folder that is the current one."""
    monkeypatch.chdir(tmp_path)

    def write_yaml(text=None, **changes):
        content = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
        file = tmp_path / "some.yaml"
        file.write_text(text if text is not None else yaml.safe_dump(content))
        return file

    return write_yaml


@pytest.fixture
def images(tmp_path):
    """Return a function that creates empty files below the folder set."""

    def create(*names, root="set"):
        files = [tmp_path / root / name for name in names]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return files

    return create


@pytest.mark.parametrize("names", [["cat", "dog"], {0: "cat", 1: "dog"}, {1: "dog", 0: "cat"}])
def test_names_are_a_list_or_a_mapping(write, names):
    config = load_data(write(names=names, nc=2))
    assert list(config.names.items()) == [(0, "cat"), (1, "dog")]
    assert config.nc == 2


def test_numbers_may_be_names_and_nc_alone_makes_some_up(write):
    assert load_data(write(names=[3, "b"])).names == {0: "3", 1: "b"}
    assert load_data(write(names=None, nc=2)).names == {0: "class0", 1: "class1"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": None}, "key names is missing"),
        ({"train": None, "val": None}, "none of the keys train, val, test"),
        ({"nc": 3}, "nc 3 but 2 names"),
        ({"nc": 0}, "nc 0: must be a whole number"),
        ({"nc": True}, "nc True"),
        ({"names": None, "nc": 10**9}, "nc 1000000000: must be a whole number from 1 to 10,000"),
        ({"names": [f"a{number}" for number in range(10_001)]}, "10,001 names; must be at most 10,000"),
        ({"nc": "two"}, "nc 'two'"),
        ({"names": ["cat", "cat"]}, "'cat' is there more than once"),
        ({"names": {0: "cat", 2: "dog"}}, "must be 0 to 1 without gaps"),
        ({"names": ["cat", True]}, "class 1 is True"),
        ({"names": "cat"}, "must be a list of class names"),
        ({"names": []}, "must be a list of class names"),
        ({"train": 3}, "train: 3 must be a folder"),
        ({"val": ["a", None]}, "val: None must be a folder"),
        ({"path": 3}, "path 3: must be a folder"),
        ({"text": "- a\n- b\n"}, "must be a YAML mapping"),
        ({"text": ""}, "must be a YAML mapping"),
        ({"text": "names: [a\ntrain: b\n"}, ":2: not valid YAML"),
        ({"text": "\0\1"}, "not valid YAML"),
    ],
)
def test_a_wrong_yaml_is_one_line_that_names_the_file(write, changes, words):
    file = write(**changes)
    with pytest.raises(InputError) as error:
        load_data(file)
    assert str(error.value).startswith(str(file))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_yaml_that_is_not_there(write):
    with pytest.raises(InputError, match="absent.yaml: no such data yaml; looked in"):
        load_data("absent.yaml")


DATA_YAMLS = sorted({*(ROOT / "data").glob("*.yaml")} - {ROOT / "data/slim.yaml"})  # those are settings of slim.py


@pytest.mark.parametrize("file", DATA_YAMLS, ids=lambda file: file.name)
def test_the_yamls_of_the_project_are_good_and_found_by_name(file):
    config = load_data(file.name)
    assert config.file == file
    assert {"shapes": 5, "bccd": 3, "coco128": 80, "coco": 80, "VOC": 20}.get(file.stem, config.nc) == config.nc


@pytest.mark.parametrize("root", ["set", "datasets/set"])
def test_path_starts_at_the_current_folder_or_its_datasets(write, images, tmp_path, root):
    (file,) = images("images/train/a.jpg", root=root)
    config = load_data(write())
    assert config.path == tmp_path / root
    assert split_images(config, "train") == [file]


def test_path_may_start_beside_the_yaml_or_be_absolute_or_absent(tmp_path, monkeypatch, write, images):
    (file,) = images("images/train/a.jpg")
    beside, absolute = write(), tmp_path / "absolute.yaml"
    absolute.write_text(yaml.safe_dump({**GOOD, "path": str(tmp_path / "set")}))
    (tmp_path / "set" / "absent.yaml").write_text(yaml.safe_dump({**GOOD, "path": None}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in (beside, absolute, tmp_path / "set" / "absent.yaml"):
        assert split_images(load_data(name), "train") == [file]


def test_a_folder_is_searched_to_the_bottom_in_order(write, images):
    files = images("images/train/a.jpg", "images/train/b/c.PNG", "images/train/d.tif")
    images("images/train/notes.txt", "images/val/e.jpg")
    assert split_images(load_data(write()), "train") == files


def test_lists_start_at_their_own_folder_and_images_count_once(write, images, tmp_path):
    a, b, c = images("images/train/a.jpg", "images/train/b.jpg", "other/c.jpg")
    lines = f"./images/train/b.jpg\n\nimages/train/a.jpg\n{c}\n"
    (tmp_path / "set" / "train.txt").write_text(lines, encoding="utf-8-sig")  # as editors on Windows save it
    config = load_data(write(train=["train.txt", "images/train"]))
    assert [file.resolve() for file in split_images(config, "train")] == [a, b, c]


@pytest.mark.parametrize(
    ("changes", "split", "words"),
    [
        ({}, "test", "key test is missing, but test images are asked for; it has train, val"),
        ({}, "val", "images/val not found; looked for"),
        ({"val": "notes.md"}, "val", "neither a folder nor a .txt nor a .json"),
        ({"val": "empty"}, "val", "no images; known suffixes are"),
        ({"val": "empty.txt"}, "val", "no images"),
        ({"val": "bad.txt"}, "val", "bad.txt:2: film.mp4: not an image"),
        ({"val": "binary.txt"}, "val", "binary.txt:1: "),
        ({"val": ["images/train", "a.json"]}, "val", "cannot be mixed"),
    ],
)
def test_a_split_without_images_is_one_line(write, images, tmp_path, changes, split, words):
    images("images/train/a.jpg", "notes.md", "empty/notes.txt", "empty.txt", "a.json")
    (tmp_path / "set" / "bad.txt").write_text("a.jpg\nfilm.mp4\n")
    (tmp_path / "set" / "binary.txt").write_bytes(b"\xff\xfe\xdc")
    with pytest.raises(InputError) as error:
        split_images(load_data(write(**changes)), split)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_images_say_where_they_were_looked_for(write, tmp_path):
    with pytest.raises(InputError) as error:
        split_images(load_data(write()), "train")
    for folder in (tmp_path / "set/images/train", tmp_path / "datasets/set/images/train"):
        assert str(folder) in str(error.value)


def test_instances_files_stand_for_themselves(write, images):
    (file,) = images("annotations/instances_val.json")
    assert split_images(load_data(write(val="annotations/instances_val.json")), "val") == [file]
