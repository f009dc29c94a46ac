"""Files with anything in them: each reader gives what it can read, problems, or one error of the project."""

import random

import numpy as np
import pytest

from utils.data.config import load_data, split_images
from utils.data.formats.lists import read_list
from utils.data.formats.voc import read_voc_file
from utils.data.formats.yolo import read_label_file
from utils.errors import InputError

BOX = b"<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox>"
WHOLE = {
    "a.txt": b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.2 0.2 0.3 0.3\n",
    "a.xml": b"<annotation><size><width>10</width></size><object><name>cat</name>" + BOX + b"</object></annotation>",
    "list.txt": b"images/a.jpg\n./b\\c.png\n# x\n",
    "a.yaml": b"path: .\ntrain: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['a','b']\n",
    "obj.data": b"classes=2\ntrain=data/train.txt\nnames=obj.names\n",
}
WORDS = (
    b"nan",
    b"1e999",
    b"-",
    b"..",
    b"\\",
    b"/",
    b"~x/",
    b"\0",
    b"9" * 400,
    b"<!DOCTYPE a>",
    b"&a;",
    b"\xff\xfe",
    b"{}",
    b"*",
)


def spoilt(content, rng):
    """Return bytes with a few changes."""
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(content) + 1)
        more = rng.choice([rng.choice(WORDS), rng.randbytes(3), content[: rng.randrange(9)], b""])
        content = content[:place] + more + content[place + rng.choice([0, 0, 1, 7]) :]
    return content


def read_everything(file):
    """Read a file by what it is called; boxes that come out are finite and inside."""
    if file.suffix in (".yaml", ".data"):
        config = load_data(file)
        for split in ("train", "val"):
            if getattr(config, split):
                split_images(config, split, get=pytest.fail)
    elif file.name == "list.txt":
        read_list(file, (file.parent,), (".jpg", ".png"))
    else:
        found = read_label_file(file, 2) if file.suffix == ".txt" else read_voc_file(file, file, (20, 10), {0: "cat"})
        assert np.isfinite(found.boxes).all()
        assert (np.abs(found.boxes[:, 1:] - 0.5) <= 0.5 + 1e-5).all()


@pytest.mark.parametrize("name", WHOLE)
def test_no_reader_is_upset_by_changed_bytes(tmp_path, name):
    (tmp_path / "obj.names").write_text("a\nb\n")
    rng = random.Random(0)
    for _ in range(300):
        (tmp_path / name).write_bytes(spoilt(WHOLE[name], rng))
        try:
            read_everything(tmp_path / name)
        except InputError as error:
            assert str(error)
