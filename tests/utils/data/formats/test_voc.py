"""Pascal VOC xml."""

import numpy as np
import pytest

from utils.data.config import load_data
from utils.data.formats.voc import read_voc_file
from utils.data.labels import list_problems
from utils.data.splits import load_split
from utils.errors import InputError

NAMES = {0: "cat", 1: "dog"}
OBJECT = (
    "<object><name>{}</name>{}<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def document(*objects, size="<size><width>100</width><height>50</height><depth>3</depth></size>"):
    """Return the text of a file of objects, each (name, more, x1, y1, x2, y2)."""
    return f"<annotation>{size}{''.join(OBJECT.format(*each) for each in objects)}</annotation>"


@pytest.fixture
def read(tmp_path):
    """Return a function that reads text as the file of a photo of 100×50 (w×h)."""

    def read_text(text, **options):
        (tmp_path / "a.xml").write_text(text)
        return read_voc_file(tmp_path / "a.xml", tmp_path / "a.jpg", (50, 100), NAMES, **options)

    return read_text


def test_boxes_become_centres_normalised_and_names_go_by_the_yaml(read):
    found = read(document(("dog", "", 10, 20, 50, 30), (" Cat ", "", 0, 0, 100, 50)))
    assert found.boxes == pytest.approx(np.array([[1, 0.3, 0.5, 0.4, 0.2], [0, 0.5, 0.5, 1, 1]]))
    assert (found.boxes.dtype, found.problems) == (np.float32, [])


@pytest.mark.parametrize(
    "size", ["", "<size><width>0</width><height>0</height></size>", "<size><width>x</width></size>"]
)
def test_without_a_size_the_photo_has_one(read, size):
    assert read(document(("cat", "", 10, 20, 50, 30), size=size)).boxes[0] == pytest.approx([0, 0.3, 0.5, 0.4, 0.2])


def test_difficult_objects_are_left_out_and_counted_or_kept(read):
    text = document(
        ("cat", "<difficult>1</difficult>", 10, 20, 50, 30), ("dog", "<difficult>0</difficult>", 0, 0, 9, 9)
    )
    found = read(text)
    assert (found.boxes[:, 0].tolist(), found.counts["difficult"]) == ([1], 1)
    assert read(text, difficult=True).boxes[:, 0].tolist() == [0, 1]


def test_boxes_are_cut_at_the_photo(read):
    found = read(document(("cat", "", -10, 20, 30, 60), ("cat", "", 120, 0, 130, 9), ("cat", "", 5, 5, 5, 9)))
    assert found.boxes == pytest.approx(np.array([[0, 0.15, 0.7, 0.3, 0.6]]))
    assert (found.counts["clipped"], found.counts["dropped"]) == (1, 2)


BOMB = '<!DOCTYPE a [<!ENTITY b "cccccccccc"><!ENTITY d "&b;&b;&b;&b;">]><annotation>&d;</annotation>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no element found"),
        ("<annotation>", "no element found"),
        ("text", "syntax error"),
        (BOMB, "a document type is declared"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "a document type is declared"),
        (document(("bird", "", 1, 1, 9, 9)), "object 1: name 'bird' is not among the names"),
        (document(("cat", "", 1, "x", 9, 9)), "object 1: bndbox must have numbers"),
        (document(("cat", "", 1, "nan", 9, 9)), "object 1: bndbox must have numbers"),
        (document(("cat", "", 9, 1, 1, 9)), "object 1: bndbox must have numbers"),
        ("<annotation><object><name>cat</name></object></annotation>", "object 1: bndbox"),
        (document(size="<size><width>90</width><height>90</height></size>"), "width 90, height 90, but"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(read, tmp_path, text, words):
    found = read(text)
    message = list_problems(found.problems)
    assert message.startswith(f"{tmp_path / 'a.xml'}: ") and words in message
    assert "\n" not in message


@pytest.fixture
def data(tmp_path, write_image):
    """Return a function that writes VOC's layout with two photos in a folder and loads the split train of an entry."""

    def load(entry, photos="JPEGImages", more=""):
        for stem in ("2007_01", "2007_02"):
            write_image(tmp_path / photos / f"{stem}.jpg", 50, 100)
            (tmp_path / "Annotations").mkdir(exist_ok=True)
            (tmp_path / "Annotations" / f"{stem}.xml").write_text(
                document(("dog", "<difficult>1</difficult>", 10, 20, 50, 30), ("cat", "", 0, 0, 10, 10))
            )
        (tmp_path / "ImageSets/Main").mkdir(parents=True)
        (tmp_path / "ImageSets/Main/train.txt").write_text("2007_02\n")
        (tmp_path / "voc.yaml").write_text(f"train: {entry}\nnames: [cat, dog]\n{more}")
        return load_split(load_data(tmp_path / "voc.yaml"), "train", progress=False)

    return load


@pytest.mark.parametrize(
    ("entry", "photos", "number"),
    [("JPEGImages", "JPEGImages", 2), ("images", "images", 2), ("ImageSets/Main/train.txt", "JPEGImages", 1)],
)
def test_a_folder_or_a_list_of_photos_with_xml_files(data, entry, photos, number):
    samples, counts = data(entry, photos)
    assert len(samples) == counts.found == number
    assert all(sample.labels == pytest.approx(np.array([[0, 0.05, 0.1, 0.1, 0.2]])) for sample in samples)
    assert counts.difficult == number


def test_the_yaml_may_keep_difficult_objects(data):
    samples, counts = data("JPEGImages", more="difficult: true\n")
    assert [len(sample.labels) for sample in samples] == [2, 2]
    assert counts.difficult == 0


def test_the_key_difficult_is_true_or_false(data):
    with pytest.raises(InputError, match="difficult 'maybe': must be true or false"):
        data("JPEGImages", more="difficult: maybe\n")
