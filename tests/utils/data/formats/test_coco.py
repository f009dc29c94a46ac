"""COCO instances files: written, read back, and the odd things that real ones hold."""

import json

import numpy as np
import pytest
from PIL import Image

from utils.data.config import load_data
from utils.data.formats.coco import COCO80_TO_91, CocoFiles, image_id, write_coco
from utils.data.images import read_image
from utils.data.labels import Sample
from utils.data.shapes import draw_shapes
from utils.data.splits import load_split
from utils.errors import InputError


@pytest.fixture
def content():
    """Return two images of 100×50 (w×h) and three boxes, categories numbered as COCO does, with gaps."""
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 50, "width": 100} for i in (7, 9)],
        "categories": [{"id": 3, "name": "dog"}, {"id": 8, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [10, 20, 40, 10], "iscrowd": 0},
            {"image_id": 7, "category_id": 8, "bbox": [0, 0, 100, 50]},
            {"image_id": 9, "category_id": 8, "bbox": [50, 25, 20, 10]},
        ],
    }


@pytest.fixture
def load(tmp_path, write_image):
    """Return a function that reads content as the split val, with the images where asked."""

    def read(content, names=("cat", "dog"), folder="images/val", present=("7.png", "9.png")):
        for name in present:
            write_image(tmp_path / folder / name, 50, 100)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(content))
        (tmp_path / "set.yaml").write_text(f"val: annotations/instances_val.json\nnames: {list(names)}\n")
        return load_split(load_data(tmp_path / "set.yaml"), "val")

    return read


def test_boxes_become_centres_normalised_and_categories_go_by_name(load, content, tmp_path):
    (first, second), counts = load(content)
    # (10, 20) to (50, 30) of 100×50: centre (30, 25).
    assert first.labels == pytest.approx(np.array([[1, 0.3, 0.5, 0.4, 0.2], [0, 0.5, 0.5, 1, 1]]))
    assert second.labels == pytest.approx(np.array([[0, 0.6, 0.6, 0.2, 0.2]]))
    assert first.labels.dtype == np.float32
    assert (first.path, first.shape) == (str(tmp_path / "images/val/7.png"), (50, 100))
    assert str(counts) == "2 found, 0 missing, 0 empty, 0 corrupt, 0 duplicate"


def test_other_names_go_by_the_order_of_the_ids(load, content):
    content["categories"].reverse()
    (first, _), _ = load(content, names=("hund", "katze"))
    assert first.labels[:, 0].tolist() == [0, 1]


def test_case_and_blanks_around_names_do_not_matter(load, content):
    (first, _), _ = load(content, names=("Cat ", "DOG", "bird"))
    assert first.labels[:, 0].tolist() == [1, 0]


def test_categories_that_the_yaml_leaves_out_are_left_out(load, content):
    (first, second), counts = load(content, names=("dog",))
    assert first.labels[:, 0].tolist() == [0]
    assert len(second.labels) == 0
    assert counts.empty == 1


def test_categories_that_do_not_match_are_refused(load, content):
    with pytest.raises(InputError, match="2 categories .* do not match the 3 names"):
        load(content, names=("cat", "bird", "horse"))


def test_crowds_and_boxes_without_area_inside_are_skipped(load, content):
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"] += [
        {"image_id": 9, "category_id": 3, "bbox": [100, 10, 20, 10]},
        {"image_id": 9, "category_id": 3, "bbox": [10, 10, 0, 10]},
    ]
    (first, second), _ = load(content)
    assert first.labels[:, 0].tolist() == [0]
    assert len(second.labels) == 1


def test_boxes_are_cut_at_the_image_and_repeated_ones_counted(load, content):
    content["annotations"] = [{"image_id": 7, "category_id": 8, "bbox": [-10, 40, 30, 20]}] * 2
    (first, second), counts = load(content)
    assert first.labels == pytest.approx(np.array([[0, 0.1, 0.9, 0.2, 0.2]]))  # (0, 40) to (20, 50)
    assert (counts.duplicate, counts.empty) == (1, 1)


@pytest.mark.parametrize("folder", ["annotations", "images/val", "val", "images", "."])
def test_where_images_may_be(load, content, tmp_path, folder):
    samples, _ = load(content, folder=folder)
    assert samples[0].path == str(tmp_path / folder / "7.png")


def test_absent_and_broken_images_are_named_until_they_are_too_many(load, content, tmp_path, capsys):
    content["images"] += [{"id": i, "file_name": f"{i}.png", "height": 50, "width": 100} for i in range(20, 40)]
    present = [f"{row['id']}.png" for row in content["images"]]
    load(content, present=present)
    (tmp_path / "images/val/7.png").unlink()
    (tmp_path / "images/val/9.png").write_bytes(b"no image")
    samples, counts = load(content, present=())
    assert (len(samples), counts.absent, counts.corrupt) == (20, 1, 1)
    message = capsys.readouterr().err
    assert f"1 of 22 images are not there: {tmp_path / 'images/val/7.png'}" in message
    assert f"1 of 22 images cannot be read: {tmp_path / 'images/val/9.png'}" in message
    (tmp_path / "images/val/20.png").unlink()
    with pytest.raises(InputError, match="2 of 22 images are not there"):
        load(content, present=())


def test_a_set_of_crowds_alone_is_refused(load, content):
    for row in content["annotations"]:
        row["iscrowd"] = 1
    with pytest.raises(InputError, match="all 3 objects are crowds"):
        load(content)


def test_sizes_are_compared_with_the_photos(load, content, tmp_path):
    content["images"][0] |= {"height": 100, "width": 100}
    with pytest.raises(InputError, match=r"7\.png: width 100, height 100, but .* has 100x50 pixels"):
        load(content)
    content["images"][0] |= {"height": 100, "width": 200}  # shrunk since: the boxes with it
    content["annotations"][0]["bbox"] = [20, 40, 80, 20]
    (first, _), _ = load(content)
    assert first.labels[0] == pytest.approx([1, 0.3, 0.5, 0.4, 0.2])


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_a_photo_stored_unturned_are_turned_with_it(load, content, tmp_path, capsys, orientation):
    stored = np.zeros((50, 100, 3), np.uint8)
    stored[20:30, 10:50] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    content["images"] = [{"id": 7, "file_name": "7.jpg", "height": 50, "width": 100}]
    del content["annotations"][1:]
    (tmp_path / "images/val").mkdir(parents=True)
    Image.fromarray(stored).save(tmp_path / "images/val/7.jpg", exif=exif, quality=100)
    (sample,), counts = load(content, present=())
    assert (sample.shape, counts.turned) == ((100, 50), 1)
    rows, columns = np.nonzero(read_image(sample.path)[..., 0] > 128)
    _, cx, cy, width, height = sample.labels[0]
    assert (cx * 50, cy * 100) == pytest.approx(
        ((columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2), abs=1
    )
    assert (width * 50, height * 100) == pytest.approx((10, 40))


def test_no_image_at_all_says_where_it_looked(load, content, tmp_path):
    with pytest.raises(InputError) as error:
        load(content, present=())
    assert f"{tmp_path}/annotations, images/val, val" in str(error.value)
    assert len(str(error.value).replace(str(tmp_path), "")) < 300


def change(part, key, value):
    def apply(content):
        content[part][0][key] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: content.pop("categories"), "list categories is missing"),
        (lambda content: content.update(images=[]), "images is empty"),
        (lambda content: content.update(annotations={}), "list annotations is missing"),
        (lambda content: content["annotations"][2].pop("bbox"), "annotations[2]: key bbox is missing"),
        (change("annotations", "image_id", 1), "annotations[0]: image_id 1 is not among the images"),
        (change("annotations", "bbox", [1, 2, 3]), "annotations[0]: bbox [1, 2, 3]; must be four numbers"),
        (change("annotations", "bbox", [1, 2, 3, float("nan")]), "annotations[0]: bbox"),
        (change("annotations", "bbox", [1, 2, 3, None]), "annotations[0]: bbox"),
        (change("annotations", "bbox", [1, 2, 3, "four"]), "annotations[0]: bbox"),
        (change("annotations", "bbox", [1, 2, 3, [4]]), "annotations[0]: bbox"),
        (change("annotations", "category_id", [1]), "annotations[0]: category_id [1]; must be a number"),
        (change("categories", "name", ["cat"]), "categories[0]: name ['cat']; must be text"),
        (change("images", "file_name", 5), "images[0]: file_name 5; must be text"),
        (change("images", "width", 0), "images[0]: "),
        (change("images", "width", 10**400), "images[0]: "),
        (change("images", "width", True), "images[0]: "),
        (change("annotations", "bbox", [1, 2, 3, 10**400]), "annotations[0]: bbox"),
        (change("images", "height", "50"), "images[0]: "),
    ],
)
def test_a_bad_file_is_one_line_that_says_where(load, content, tmp_path, spoil, words):
    spoil(content)
    with pytest.raises(InputError) as error:
        load(content)
    assert str(error.value).startswith(f"{tmp_path / 'annotations/instances_val.json'}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "1" * 5000, '{"images": '], ids=["open", "deep", "long", "cut"])
def test_text_that_is_no_json(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="not valid JSON"):
        CocoFiles([tmp_path / "a.json"], load_data("coco128.yaml"), "val")


def test_writing_by_hand(tmp_path):
    labels = np.array([[1, 0.3, 0.5, 0.4, 0.2]], np.float32)
    write_coco(tmp_path / "a.json", [Sample("x/000012.png", (50, 100), labels)], {0: "cat", 1: "dog"})
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["images"] == [{"id": 12, "file_name": "000012.png", "height": 50, "width": 100}]
    assert written["categories"] == [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    (row,) = written["annotations"]
    assert row == {"id": 1, "image_id": 12, "category_id": 1, "bbox": [10, 20, 40, 10], "area": 400, "iscrowd": 0}


def test_drawn_shapes_are_the_same_in_both_formats(tmp_path):
    yolo = draw_shapes(tmp_path / "shapes", train=3, val=2, imgsz=64)
    coco = yolo.with_name("coco.yaml")
    text = yolo.read_text().replace("images/train", "annotations/instances_train.json")
    coco.write_text(text.replace("images/val", "annotations/instances_val.json"))
    for split in ("train", "val"):
        samples, counts = load_split(load_data(yolo), split)
        others, other_counts = load_split(load_data(coco), split)
        assert [(s.path, s.shape) for s in samples] == [(s.path, s.shape) for s in others]
        assert counts == other_counts
        for one, other in zip(samples, others, strict=True):
            assert one.labels == pytest.approx(other.labels, abs=2e-5)  # the json rounds to 0.001 px


def test_ids_of_images_and_categories():
    assert [image_id(path) for path in ("x/000000000139.jpg", "photo.jpg", "7.1.jpg")] == [139, "photo", "7.1"]
    assert (len(COCO80_TO_91), COCO80_TO_91[0], COCO80_TO_91[11], COCO80_TO_91[79]) == (80, 1, 13, 90)
