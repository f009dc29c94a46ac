"""The data set that is drawn: the same bytes for the same recipe, labels that fit the pixels."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from utils.data import shapes
from utils.data.config import load_data
from utils.data.images import read_image
from utils.data.shapes import EASY, HARD, NAMES, RECIPE, cover, draw_background, draw_image, draw_shapes, outline
from utils.data.splits import load_split
from utils.errors import InputError

SMALL = {"train": 4, "val": 2, "imgsz": 64}


def digests(folder):
    """Return file name → hash for every file below a folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_files(tmp_path):
    assert draw_shapes(tmp_path / "new" / "shapes", **SMALL) == tmp_path / "new" / "shapes" / "shapes.yaml"
    pairs = [f"{split}/{number:06d}" for split, count in (("train", 4), ("val", 2)) for number in range(1, count + 1)]
    expected = {f"images/{pair}.png" for pair in pairs} | {f"labels/{pair}.txt" for pair in pairs}
    expected |= {"annotations/instances_train.json", "annotations/instances_val.json", "shapes.yaml", RECIPE}
    assert set(digests(tmp_path / "new" / "shapes")) == expected
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["shapes"]


def test_one_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        draw_shapes(tmp_path / name, **SMALL, seed=seed)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    assert set(first) == set(other)
    assert {name for name in first if first[name] == other[name]} == {"shapes.yaml"}
    images = [digest for name, digest in first.items() if name.startswith("images/")]
    assert len(set(images)) == len(images)  # training and validation share none


def test_more_images_begin_with_the_same_ones(tmp_path):
    draw_shapes(tmp_path / "a", **SMALL)
    draw_shapes(tmp_path / "b", **{**SMALL, "train": 6})
    few, many = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert all(many[name] == digest for name, digest in few.items() if name.startswith(("images", "labels")))


def test_a_drawn_set_is_used_again(tmp_path, monkeypatch):
    draw_shapes(tmp_path / "a", **SMALL)
    monkeypatch.setattr(shapes, "draw_image", lambda *_: pytest.fail("drawn again"))
    assert draw_shapes(tmp_path / "a", **SMALL) == tmp_path / "a" / "shapes.yaml"


@pytest.mark.parametrize("change", [{"seed": 1}, {"train": 5}, {"val": 3}, {"imgsz": 96}, {"hard": True}])
def test_another_recipe_is_refused(tmp_path, change):
    draw_shapes(tmp_path / "a", **SMALL)
    before = digests(tmp_path / "a")
    with pytest.raises(InputError, match="holds something else"):
        draw_shapes(tmp_path / "a", **{**SMALL, **change})
    assert digests(tmp_path / "a") == before


@pytest.mark.parametrize("name", ["photo.jpg", RECIPE])
def test_a_folder_with_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        draw_shapes(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        draw_shapes(tmp_path / "file" / "shapes", **SMALL)


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shapes, "write_coco", interrupt)
    with pytest.raises(KeyboardInterrupt):
        draw_shapes(tmp_path / "a", **SMALL)
    assert not list(tmp_path.iterdir())


def bounds(mask):
    """Return x1, y1, x2, y2 of what is set in a mask [h, w]."""
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("seed", range(30))
def test_a_label_is_the_bounds_of_the_pixels_that_differ_from_the_background(seed):
    image, labels = draw_image(160, seed, replace(EASY, objects=(1, 1)))
    background = draw_background(160, np.random.default_rng(seed)).astype(float)
    differs = (image != background).any(2)
    colours, counts = np.unique(image[differs], axis=0, return_counts=True)
    contrast = colours[counts.argmax()] - background
    opacity = ((image - background) * contrast).sum(2) / (contrast**2).sum(2)
    centre, half = labels[0, 1:3] * 160, labels[0, 3:5] * 80
    label = (*(centre - half), *(centre + half))
    assert label == pytest.approx(bounds(opacity > 0.5), abs=1.25)
    assert label == pytest.approx(bounds(differs), abs=3)  # edges are smoothed outwards


@pytest.mark.parametrize("kind", range(len(NAMES)))
def test_outlines_have_radius_one_and_their_own_area(kind):
    corners = outline(kind)
    x, y = corners.T
    area = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2

    def regular(corners):  # as many triangles
        return corners / 2 * np.sin(2 * np.pi / corners)

    star = 10 * 0.42 * np.sin(np.pi / 5) / 2  # ten triangles with sides 1 and 0.42
    cross = 0.64**2 + 4 * 0.64 * 0.68  # a square and four arms
    expected = {"circle": regular(48), "square": regular(4), "triangle": regular(3), "star": star, "cross": cross}
    assert area == pytest.approx(expected[NAMES[kind]], rel=1e-6)
    if NAMES[kind] != "cross":
        assert np.linalg.norm(corners, axis=1).max() == pytest.approx(1)


def test_objects_are_inside_large_enough_and_hardly_hidden():
    counts = np.zeros(len(NAMES), int)
    for seed in range(30):
        image, labels = draw_image(160, seed)
        assert (image.shape, image.dtype, labels.dtype) == ((160, 160, 3), np.uint8, np.float32)
        low, high = labels[:, 1:3] - labels[:, 3:5] / 2, labels[:, 1:3] + labels[:, 3:5] / 2
        assert (low > 0).all() and (high < 1).all()
        assert (labels[:, 3:5].max(1) * 160 >= 15.9).all()  # a tenth of the side
        assert 1 <= len(labels) <= 7
        boxes = np.concatenate([low, high], 1)
        shares = [cover(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert max(shares, default=0) <= 0.2501
        counts += np.bincount(labels[:, 0].astype(int), minlength=len(NAMES))
    assert counts.min() >= 10


def test_hard_shapes_are_more_and_smaller(tmp_path):
    easy, hard = ([draw_image(160, seed, kind)[1] for seed in range(20)] for kind in (EASY, HARD))
    assert sum(map(len, hard)) > 1.5 * sum(map(len, easy))
    sides = [np.concatenate(rows)[:, 3:5].max(1) for rows in (easy, hard)]
    assert 0.049 <= sides[1].min() < EASY.sides[0]
    assert np.median(sides[1]) < np.median(sides[0])
    drawn = draw_shapes(tmp_path / "a", **SMALL, hard=True).parent / "images/val/000001.png"
    assert (read_image(drawn) == draw_image(64, [0, 1, 0], HARD)[0]).all()


def test_a_set_that_was_drawn_before_there_were_hard_ones_is_used_again(tmp_path):
    file = draw_shapes(tmp_path / "a", **SMALL).parent / RECIPE
    recipe = json.loads(file.read_text())
    del recipe["hard"]
    file.write_text(json.dumps(recipe))
    draw_shapes(tmp_path / "a", **SMALL)


def test_cover_by_hand():
    assert cover([0, 0, 10, 10], [5, 5, 25, 25]) == 0.25
    assert cover([0, 0, 10, 10], [10, 0, 20, 10]) == 0
    assert cover([0, 0, 10, 10], [2, 2, 4, 4]) == 1


def test_the_yaml_loads_both_splits_and_the_scan_is_kept(tmp_path):
    config = load_data(draw_shapes(tmp_path / "a", **SMALL))
    assert tuple(config.names.values()) == NAMES
    for split, count in (("train", 4), ("val", 2)):
        samples, counts = load_split(config, split, progress=False)
        assert str(counts) == f"{count} found, 0 missing, 0 empty, 0 corrupt, 0 duplicate"
        assert {sample.shape for sample in samples} == {(64, 64)}
        assert (tmp_path / "a" / "labels" / f"{split}.cache.npz").is_file()


def test_files_hold_what_was_drawn(tmp_path):
    draw_shapes(tmp_path / "a", **SMALL, seed=5)
    samples, _ = load_split(load_data(tmp_path / "a" / "shapes.yaml"), "val", progress=False)
    for index, sample in enumerate(samples):
        image, labels = draw_image(64, [5, 1, index])
        assert (read_image(sample.path) == image).all()
        assert sample.labels == pytest.approx(labels, abs=1e-6)
