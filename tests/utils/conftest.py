"""A network and a data set small enough to train within a test."""

from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch
import yaml

from models.yolo import DetectionModel

TINY = {
    "nc": 3,
    "depth_multiple": 0.33,
    "width_multiple": 0.125,
    "anchors": [[8, 8, 16, 16], [24, 24, 40, 40]],
    "backbone": [
        [-1, 1, "Conv", [64, 6, 2, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "C3", [64]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
    ],
    "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]],
}


@pytest.fixture
def tiny_cfg():
    """Return the rows of a network of 5 layers with strides 8 and 16."""
    return TINY


@pytest.fixture
def tiny_model():
    """Return that network with seeded weights."""
    torch.manual_seed(0)
    return DetectionModel(TINY)


@pytest.fixture
def drawn_data(tmp_path):
    """Return the yaml of 8 training and 4 validation images of 64×64 with one or two rectangles each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        for kind in ("images", "labels"):
            (tmp_path / "set" / kind / split).mkdir(parents=True)
        for index in range(count):
            image = rng.integers(0, 60, (64, 64, 3), np.uint8)
            rows = []
            for _ in range(1 + index % 2):
                label, (left, top) = int(rng.integers(3)), rng.integers(0, 40, 2)
                width, height = rng.integers(12, 24, 2)
                image[top : top + height, left : left + width, label] = 250
                rows.append(f"{label} {(left + width / 2) / 64} {(top + height / 2) / 64} {width / 64} {height / 64}")
            cv2.imwrite(str(tmp_path / "set" / "images" / split / f"{index}.png"), image)
            (tmp_path / "set" / "labels" / split / f"{index}.txt").write_text("\n".join(rows))
    file = tmp_path / "drawn.yaml"
    splits = {"train": "images/train", "val": "images/val"}
    file.write_text(yaml.safe_dump({"path": str(tmp_path / "set"), **splits, "names": ["blue", "green", "red"]}))
    return file


@pytest.fixture
def tiny_yaml(tmp_path):
    """Return the model yaml of the small network."""
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    return file


class Balanced(HTMLParser):
    """Follows open elements and collects text."""

    VOID = {"meta", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1] not in ("style", "title"):
            self.texts.append(data.strip())


def read(html):
    """Return the Balanced parser that has read a page, which must be well formed."""
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    return parser


@pytest.fixture
def read_html():
    """Return a function that reads a page: its texts and attributes."""
    return read
