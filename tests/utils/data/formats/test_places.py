"""Where the label files of images are looked for."""

import pytest

from utils.data.formats.places import label_files, label_path


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


@pytest.mark.parametrize(
    ("folder", "labels", "suffix"),
    [
        ("set/images/train", "set/labels/train", ".txt"),
        ("set/images/train", "set/labels", ".txt"),
        ("set/images", "set/images", ".txt"),
        ("set/photos", "set/photos", ".txt"),
        ("set/photos", "set/labels", ".txt"),
        ("set/JPEGImages", "set/labels", ".txt"),
        ("set/JPEGImages", "set/Annotations", ".xml"),
        ("set/images/train", "set/Annotations/train", ".xml"),
        ("set/images/train", "set/annotations", ".xml"),
        ("set/photos", "set/photos", ".xml"),
        ("set/photos", "set/Annotations", ".xml"),
    ],
)
def test_label_files_are_where_any_is(tmp_path, folder, labels, suffix):
    (tmp_path / labels).mkdir(parents=True)
    (tmp_path / labels / f"b{suffix}").touch()
    (tmp_path / labels / "classes.txt").touch()
    images = [tmp_path / folder / name for name in ("a.jpg", "b.jpg")]
    assert label_files(map(str, images)) == list(map(str, [tmp_path / labels / f"{stem}{suffix}" for stem in "ab"]))


def test_text_goes_before_xml_and_the_usual_place_first(tmp_path):
    for folder in ("labels", "images", "Annotations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "Annotations/a.xml").touch()
    image = tmp_path / "images/a.jpg"
    assert label_files([str(image)]) == list(map(str, [tmp_path / "Annotations/a.xml"]))
    (tmp_path / "images/a.txt").touch()
    assert label_files([str(image)]) == list(map(str, [tmp_path / "images/a.txt"]))
    (tmp_path / "labels/a.txt").touch()
    assert label_files([str(image)]) == list(map(str, [tmp_path / "labels/a.txt"]))


def test_each_folder_has_a_place_of_its_own(tmp_path):
    for folder in ("one/images", "one/labels", "two/images"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "one/labels/a.txt").touch()
    (tmp_path / "two/images/a.txt").touch()
    images = [tmp_path / "one/images/a.jpg", tmp_path / "two/images/a.jpg"]
    assert label_files(map(str, images)) == list(
        map(str, [tmp_path / "one/labels/a.txt", tmp_path / "two/images/a.txt"])
    )
