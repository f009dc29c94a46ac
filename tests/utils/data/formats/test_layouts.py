"""Data sets as tools and sites export them, unpacked anywhere and used from anywhere."""

import shutil

import pytest

from utils.data.config import load_data
from utils.data.formats.layouts import data_file, spellings
from utils.data.splits import load_split
from utils.errors import InputError

ROW = "1 0.5 0.5 0.2 0.2\n"


@pytest.fixture
def export(tmp_path, write_image, monkeypatch):
    """Return a function that writes an export: {folder of images: folder of labels} with one labelled photo each."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    def write(folders, **files):
        folder = tmp_path / "export"
        for images, labels in folders.items():
            write_image(folder / images / f"{labels.replace('/', '_')}.jpg", 20, 30, seed=len(images))
            (folder / labels).mkdir(parents=True, exist_ok=True)
            (folder / labels / f"{labels.replace('/', '_')}.txt").write_text(ROW)
        for name, text in files.items():
            file = folder / name.replace("__", "/").replace("_", ".", 1 if "__" not in name else 0)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return folder

    return write


def names_of(samples):
    """Return the stems of the images of samples, which are their labels' folders."""
    return [sample.path.rpartition("/")[2].removesuffix(".jpg") for sample in samples]


def check(data, splits=("train", "val")):
    """Load the splits of a data yaml: each has one image with one object of class 1."""
    config, found = load_data(data), {}
    assert config.names == {0: "cat", 1: "dog"}
    for split in splits:
        samples, counts = load_split(config, split, progress=False)
        assert (counts.found, counts.missing, samples[0].labels[:, 0].tolist()) == (1, 0, [1])
        found[split] = names_of(samples)[0]
    assert len(set(found.values())) == len(splits)
    return found


SITE = """train: ../train/images
val: ../valid/images
test: ../test/images

nc: 2
names: ['cat', 'dog']

maker:
  workspace: someone
  project: pets-1
  version: 3
  license: CC BY 4.0
"""


@pytest.mark.parametrize("start", [".", "elsewhere", "export", "export/train"])
def test_a_yaml_inside_the_folder_that_it_leads_out_of(export, tmp_path, monkeypatch, start):
    folder = export({f"{s}/images": f"{s}/labels" for s in ("train", "valid", "test")}, data_yaml=SITE)
    monkeypatch.chdir(tmp_path / start)
    found = check(folder / "data.yaml", ("train", "val", "test"))
    assert found == {"train": "train_labels", "val": "valid_labels", "test": "test_labels"}
    assert check(folder, ("train", "val", "test")) == found  # the folder itself may be named


def test_a_leading_step_out_that_leads_somewhere_is_taken(export, tmp_path):
    folder = export({f"{s}/images": f"{s}/labels" for s in ("train", "valid")}, data_yaml=SITE)
    (folder / "yamls").mkdir()
    (folder / "data.yaml").rename(folder / "yamls/data.yaml")
    assert check(folder / "yamls/data.yaml") == {"train": "train_labels", "val": "valid_labels"}


@pytest.mark.parametrize(
    ("entries", "folders"),
    [
        (("train/images", "val/images"), ("train/images", "valid/images")),
        (("train/images", "valid/images"), ("train/images", "val/images")),
        (("images/train", "images/val"), ("train/images", "valid/images")),
        (("train/images", "valid/images"), ("images/train", "images/val")),
        (("train", "val"), ("train/images", "val/images")),
        (("train", "val"), ("images/train", "images/val")),
        (("train/images", "val/images"), ("train", "val")),
        (("/content/pets-1/train/images", "/content/pets-1/valid/images"), ("train/images", "valid/images")),
        (("C:\\data\\pets\\images\\train", "C:\\data\\pets\\images\\val"), ("images/train", "images/val")),
    ],
)
def test_val_may_be_valid_and_images_inside_or_beside(export, entries, folders):
    text = f"train: {entries[0]}\nval: {entries[1]}\nnames: {{0: cat, 1: dog}}\n"
    folder = export({name: name.replace("images", "labels") for name in folders}, data_yaml=text)
    assert check(folder / "data.yaml")["train"] == folders[0].replace("images", "labels").replace("/", "_")


@pytest.mark.parametrize(
    "path", ["", "path: .\n", "path: export\n", "path: /content/datasets/pets\n", "path: ../export\n"]
)
@pytest.mark.parametrize(
    "names",
    [
        "names:\n  0: cat\n  1: dog\n",
        "names: {'0': cat, '1': dog}\n",
        "names: {1: dog, 0: cat}\n",
        "names: classes.txt\n",
    ],
)
def test_names_as_a_mapping_and_a_path_that_is_missing_or_relative(export, tmp_path, monkeypatch, path, names):
    folder = export(
        {f"images/{s}": f"labels/{s}" for s in ("train", "val")},
        classes_txt="cat\ndog\n",
        data_yaml=f"{path}train: images/train\nval: images/val\ntest:\n{names}",
    )
    if path == "path: export\n":
        monkeypatch.chdir(tmp_path)
    check(folder / "data.yaml")


@pytest.mark.parametrize("named", ["obj.data", ""])
@pytest.mark.parametrize("root", ["data/", "", "C:\\tool\\data\\"])
def test_darknet_and_cvat(export, root, named):
    folder = export({"obj_train_data": "obj_train_data", "obj_valid_data": "obj_valid_data"})
    (folder / "obj.data").write_text(
        f"classes = 2\ntrain = {root}train.txt\nvalid = {root}valid.txt\nnames = {root}obj.names\nbackup = backup/\n"
    )
    (folder / "obj.names").write_text("cat\ndog\n\n")
    for split in ("train", "valid"):
        (folder / f"{split}.txt").write_text(f"{root}obj_{split}_data/obj_{split}_data.jpg\n")
    check(folder / named)


def test_a_list_whose_root_is_elsewhere(export):
    folder = export({"obj_train_data": "obj_train_data"}, data_yaml="train: train.txt\nnames: [cat, dog]\n")
    (folder / "train.txt").write_text("data/obj_train_data/obj_train_data.jpg\r\n")
    check(folder / "data.yaml", ("train",))


@pytest.mark.parametrize("named", ["classes.txt", ""])
def test_label_studio(export, named):
    folder = export(
        {"images": "labels"}, classes_txt="cat\ndog\n", notes_json='{"categories": [{"id": 0, "name": "cat"}]}'
    )
    check(folder / named, ("train",))


@pytest.mark.parametrize("place", [".", "images", "photos"])
def test_label_img(export, place):
    folder = export({place: place}, classes_txt="cat\ndog\n")
    (folder / "labels").mkdir(exist_ok=True)  # empty, as some tools leave it
    if place != ".":
        (folder / place / "classes.txt").write_text("cat\ndog\n")
    (folder / "data.yaml").write_text(f"train: {place}\nnames: [cat, dog]\n")
    check(folder / "data.yaml", ("train",))
    (folder / "data.yaml").unlink()
    check(folder / place if place == "images" else folder, ("train",))


def test_folders_of_splits_with_a_list_of_classes(export):
    check(export({f"{s}/images": f"{s}/labels" for s in ("train", "valid")}, classes_txt="cat\ndog\n"))


def test_a_folder_without_anything_that_names_classes(export):
    folder = export({"images": "labels"})
    with pytest.raises(InputError, match="no data yaml, no obj.data and no classes.txt"):
        data_file(folder)
    for name in ("a.yaml", "b.yaml"):
        (folder / name).touch()
    with pytest.raises(InputError, match="a.yaml, b.yaml: more than one; name the file"):
        data_file(folder)
    (folder / "data.yaml").touch()
    assert data_file(folder).name == "data.yaml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train = train.txt\n", "key names is missing"),
        ("names = gone.names\ntrain = a.txt\n", "names gone.names: not found"),
    ],
)
def test_an_obj_data_that_is_none(export, text, words):
    folder = export({"images": "labels"})
    (folder / "obj.data").write_text(text)
    with pytest.raises(InputError, match=words):
        load_data(folder / "obj.data")


def test_what_an_entry_says_goes_first_and_nothing_leads_out():
    found = list(spellings("../../a/images"))
    assert found[0] == "../../a/images"
    assert not any(".." in text or text.startswith("/") for text in found[1:])
    assert "images" not in found


def test_the_set_next_door_is_not_taken(export, tmp_path):
    folder = export(
        {"train/images": "train/labels"}, data_yaml="train: train/images\nval: valid/images\nnames: [cat, dog]\n"
    )
    shutil.copytree(folder, tmp_path / "elsewhere/other")
    with pytest.raises(InputError, match="valid/images not found"):
        load_split(load_data(folder), "val", progress=False)
