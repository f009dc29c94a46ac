"""Pixels and labels stay together: a red object is drawn, the image augmented, and the object found again."""

import cv2
import numpy as np
import pytest

from utils.data import augment
from utils.data.augment import Scene, letterbox

STILL = dict.fromkeys(("degrees", "translate", "scale", "shear", "perspective", "hsv_h", "hsv_s", "hsv_v"), 0.0)
RED = (0, 0, 255)


def rectangle(box, height=100, width=100, colour=RED):
    """Return a black Scene with one filled box x1, y1, x2, y2 in whole pixels."""
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = colour
    return Scene(image, np.array([[1, *box]], np.float32), [None])


def triangle(points, height=100, width=100):
    """Return a black Scene with one filled polygon [k, 2], whose box is its bounds."""
    image = np.zeros((height, width, 3), np.uint8)
    points = np.array(points, np.float32)
    cv2.fillPoly(image, [points.astype(np.int32)], RED)
    return Scene(image, np.array([[1, *points.min(0), *points.max(0)]], np.float32), [points])


def find(image, colour=RED):
    """Return the bounds x1, y1, x2, y2 of the pixels that are nearer to a colour than to black or grey, or None."""
    distance = np.abs(image.astype(int) - colour).max(2)
    rows, columns = np.nonzero(distance < 128 - 114 // 2)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None


def same(first, second):
    return (first.image == second.image).all() and first.boxes.tolist() == second.boxes.tolist()


@pytest.mark.parametrize(
    ("size", "shape", "enlarge", "scale", "border", "inner"),
    [
        # (h, w) of the image, of the result, may grow; factor, (left, top), rows and columns that the image fills
        ((100, 200), (64, 64), True, 0.32, (0, 16), (16, 48, 0, 64)),
        ((200, 100), (64, 64), False, 0.32, (16, 0), (0, 64, 16, 48)),
        ((31, 64), (64, 64), True, 1, (0, 16.5), (16, 47, 0, 64)),  # 33 rows to share: 16 above, 17 below
        ((10, 20), (64, 64), True, 3.2, (0, 16), (16, 48, 0, 64)),
        ((10, 20), (64, 64), False, 1, (22, 27), (27, 37, 22, 42)),
        ((48, 64), (64, 96), True, 4 / 3, (5.5, 0), (0, 64, 5, 90)),
        ((64, 96), (64, 96), True, 1, (0, 0), (0, 64, 0, 96)),
        ((1, 2000), (64, 64), True, 0.032, (0, 31.5), (31, 32, 0, 64)),  # at least one row stays
    ],
)
def test_letterbox_by_hand(size, shape, enlarge, scale, border, inner):
    image, got_scale, got_border = letterbox(np.full((*size, 3), 250, np.uint8), shape, enlarge)
    assert image.shape == (*shape, 3)
    assert got_scale == pytest.approx(scale)
    assert got_border == border
    expected = np.full((*shape, 3), 114, np.uint8)
    expected[inner[0] : inner[1], inner[2] : inner[3]] = 250
    assert (image == expected).all()


@pytest.mark.parametrize("shape", [(64, 64), (96, 160), (200, 150)])
def test_boxes_follow_the_letterbox(shape):
    scene = rectangle((30, 20, 90, 50), 80, 120)
    image, scale, (left, top) = letterbox(scene.image, shape)
    expected = scene.boxes[0, 1:] * scale + (left, top, left, top)
    assert find(image) == pytest.approx(expected, abs=1)


COLOURS = (RED, (0, 255, 0), (255, 0, 0), (0, 255, 255))


@pytest.mark.parametrize("seed", range(6))
def test_each_object_of_a_mosaic_is_where_its_box_says(seed):
    sizes = [(64, 48), (40, 64), (64, 64), (30, 64)]
    scenes = [rectangle((10, 8, 40, 28), *size, colour) for size, colour in zip(sizes, COLOURS, strict=True)]
    result = augment.mosaic(scenes, 64, np.random.default_rng(seed))
    assert result.image.shape == (128, 128, 3)
    for box, colour in zip(result.boxes[:, 1:], COLOURS, strict=True):
        hidden = (box[2:] <= box[:2]).any()
        found = find(result.image, colour)
        assert found is None if hidden else found == tuple(box)


def test_a_mosaic_meets_in_a_centre_from_the_middle_half():
    scenes = [Scene(np.full((64, 64, 3), shade, np.uint8), np.zeros((0, 5), np.float32), []) for shade in (1, 2, 3, 4)]
    centres = []
    for seed in range(40):
        image = augment.mosaic(scenes, 64, np.random.default_rng(seed)).image[..., 0]
        y, x = np.argwhere(image == 4)[0]
        assert (image[y - 1, x - 1], image[y - 1, x], image[y, x - 1]) == (1, 2, 3)
        assert image[y, x + 64 :].tolist() == [114] * (128 - x - 64 if x < 64 else 0)
        centres.append((x, y))
    centres = np.array(centres)
    assert (centres.min(0) >= 32).all() and (centres.max(0) < 96).all()
    assert np.ptp(centres, axis=0).min() > 40


def test_polygons_follow_a_mosaic():
    scenes = [triangle([(10, 5), (50, 15), (20, 55)], 64, 64) for _ in range(4)]
    result = augment.mosaic(scenes, 64, np.random.default_rng(3))
    for box, polygon in zip(result.boxes[:, 1:], result.polygons, strict=True):
        assert (*polygon.min(0), *polygon.max(0)) == tuple(box)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "change",
    [
        {"degrees": 45.0},
        {"scale": 0.5},
        {"translate": 0.15},
        {"shear": 15.0},
        {"perspective": 0.001},
        {"degrees": 20.0, "scale": 0.3, "translate": 0.1, "shear": 5.0},
        {"degrees": 20.0, "scale": 0.3, "translate": 0.1, "shear": 5.0, "perspective": 0.0005},
    ],
    ids=lambda change: "+".join(change),
)
@pytest.mark.parametrize("shape", [(200, 200), (160, 240)])
def test_boxes_follow_the_affine(change, shape, seed):
    scene = rectangle((80, 85, 120, 110), 200, 200)
    result = augment.random_affine(scene, shape, {**STILL, **change}, np.random.default_rng(seed))
    assert result.image.shape == (*shape, 3)
    assert find(result.image) == pytest.approx(result.boxes[0, 1:], abs=2)
    assert result.boxes[0, 0] == 1


@pytest.mark.parametrize("seed", range(12))
def test_boxes_of_polygons_stay_tight_when_turned_and_cut(seed):
    scene = triangle([(60, 50), (150, 90), (70, 140)], 200, 200)
    hyp = {**STILL, "degrees": 180.0, "translate": 0.45, "scale": 0.2}
    result = augment.random_affine(scene, (200, 200), hyp, np.random.default_rng(seed))
    if len(result.boxes):
        assert find(result.image) == pytest.approx(result.boxes[0, 1:], abs=2)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_far_from_the_centre_follow_the_perspective(seed):
    scene = rectangle((20, 30, 60, 55), 200, 200)
    result = augment.random_affine(scene, (300, 300), {**STILL, "perspective": 0.003}, np.random.default_rng(seed))
    assert find(result.image) == pytest.approx(result.boxes[0, 1:], abs=2)


def test_the_matrix_by_hand():
    class Highest:
        def uniform(self, low, high, size=None):
            return high if size is None else np.full(size, high)

    hyp = {**STILL, "degrees": 90.0, "scale": 1.0, "translate": 0.1, "shear": np.degrees(np.arctan(0.5))}
    matrix, scale = augment.affine_matrix((50, 100), (80, 40), hyp, Highest())
    # The centre (50, 25) goes to (24, 48). One to its right: turned up and doubled (0, -2), sheared (-1, -2).
    assert scale == 2
    assert matrix @ (50, 25, 1) == pytest.approx([24, 48, 1])
    assert matrix @ (51, 25, 1) == pytest.approx([23, 46, 1])
    # One down: turned (1, 0), doubled (2, 0), sheared (2, 1).
    assert matrix @ (50, 26, 1) == pytest.approx([26, 49, 1])


def test_an_affine_that_changes_nothing():
    scene = rectangle((20, 30, 60, 50))
    assert same(augment.random_affine(scene, (100, 100), STILL, np.random.default_rng(0)), scene)


def test_the_affine_crops_around_the_centre_and_fills_with_grey():
    scene = rectangle((80, 80, 120, 120), 200, 200)
    smaller = augment.random_affine(scene, (100, 100), STILL, np.random.default_rng(0))
    assert smaller.boxes[0, 1:].tolist() == [30, 30, 70, 70]
    larger = augment.random_affine(scene, (300, 300), STILL, np.random.default_rng(0))
    assert larger.boxes[0, 1:].tolist() == [130, 130, 170, 170]
    assert larger.image[0, 0].tolist() == [114, 114, 114]


def shifted(box, right, polygon=None):
    """Return the boxes that are left when a box is moved to the right in an image of 100×100."""
    matrix = np.eye(3)
    matrix[0, 2] = right
    scene = Scene(np.zeros((100, 100, 3), np.uint8), np.array([[0, *box]], np.float32), [polygon])
    return augment.transform_boxes(scene, matrix, 1, (100, 100))


@pytest.mark.parametrize(
    ("box", "right", "left"),
    [
        ((10, 10, 20, 20), 87, 1),  # 3 px of 10 are left
        ((10, 10, 20, 20), 88, 0),  # 2 px are too few
        ((10, 10, 50, 50), 85, 1),  # 5 px of 40: more than a tenth
        ((10, 10, 50, 50), 86, 0),  # 4 px of 40: not more than a tenth
        ((10, 10, 50, 50), 95, 0),
        ((0, 10, 100, 12.5), 0, 1),
        ((10, 0, 11, 100), 0, 0),
    ],
)
def test_boxes_that_keep_too_little_are_dropped(box, right, left):
    assert len(shifted(box, right)) == left


def test_boxes_of_polygons_may_keep_less():
    square = np.array([(10, 10), (50, 10), (50, 50), (10, 50)], np.float32)
    (row,) = shifted((10, 10, 50, 50), 86, square)
    assert row == pytest.approx([0, 96, 10, 100, 50], abs=1)
    assert len(shifted((10, 10, 50, 50), 86)) == 0
    assert len(shifted((10, 10, 50, 50), 200, square)) == 0


def test_mixup_is_a_blend_with_the_boxes_of_both():
    first, second = rectangle((10, 10, 40, 40)), rectangle((50, 50, 90, 90), colour=(255, 0, 0))
    result = augment.mixup(first, second, np.random.default_rng(0))
    assert result.boxes[:, 1:].tolist() == [[10, 10, 40, 40], [50, 50, 90, 90]]
    assert len(result.polygons) == 2
    red, blue = result.image[20, 20, 2] / 255, result.image[60, 60, 0] / 255
    assert red + blue == pytest.approx(1, abs=0.01)
    assert 0.2 < red < 0.8


def test_flips_by_hand_and_back():
    scene = rectangle((10, 20, 40, 30), 50, 100)
    sideways, upside_down = augment.flip_sideways(scene), augment.flip_vertically(scene)
    assert sideways.boxes.tolist() == [[1, 60, 20, 90, 30]]
    assert upside_down.boxes.tolist() == [[1, 10, 20, 40, 30]]  # 50 - 30 and 50 - 20
    for flipped in (sideways, upside_down):
        assert find(flipped.image) == tuple(flipped.boxes[0, 1:])
    assert same(augment.flip_sideways(sideways), scene)
    assert same(augment.flip_vertically(upside_down), scene)
    assert scene.boxes.tolist() == [[1, 10, 20, 40, 30]]


def test_a_pasted_copy_is_the_mirror_image_with_a_box_of_its_own():
    scene = triangle([(5, 10), (40, 30), (10, 60)])
    result = augment.copy_paste(scene, 1.0, np.random.default_rng(0))
    assert result.boxes[:, 1:].tolist() == [[5, 10, 40, 60], [60, 10, 95, 60]]
    assert find(result.image[:, 50:]) == pytest.approx((10, 10, 45, 60), abs=2)
    assert (result.image[:, :50] == scene.image[:, :50]).all()
    assert len(result.polygons) == 2


def test_nothing_is_pasted_over_other_objects_or_without_polygons():
    crossing = triangle([(5, 10), (90, 30), (10, 60)])
    plain = rectangle((5, 10, 40, 60))
    for scene, probability in ((crossing, 1.0), (plain, 1.0), (triangle([(5, 10), (40, 30), (10, 60)]), 0.0)):
        assert same(augment.copy_paste(scene, probability, np.random.default_rng(0)), scene)


def test_colour_keeps_greys_grey_and_changes_with_its_gains():
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    hyp = {**STILL, "hsv_h": 0.5, "hsv_s": 0.9}
    assert (augment.jitter_colour(greys, hyp, np.random.default_rng(0)) == greys).all()
    brighter = augment.jitter_colour(greys, {**STILL, "hsv_v": 0.5}, np.random.default_rng(0))
    gain = 1 + np.random.default_rng(0).uniform(-1, 1, 3)[2] * 0.5
    assert brighter[0, :, 0] == pytest.approx((np.arange(256) * gain).clip(0, 255), abs=1)
    assert np.ptp(brighter.astype(int), axis=2).max() == 0


ALL = {**STILL, "degrees": 30.0, "translate": 0.2, "scale": 0.5, "shear": 5.0, "hsv_h": 0.1, "hsv_s": 0.7, "hsv_v": 0.4}


@pytest.mark.parametrize(
    "apply",
    [
        lambda scene, rng: augment.mosaic([scene] * 4, 100, rng),
        lambda scene, rng: augment.random_affine(scene, (100, 100), ALL, rng),
        lambda scene, rng: augment.mixup(scene, augment.flip_sideways(scene), rng),
        lambda scene, rng: Scene(augment.jitter_colour(scene.image, ALL, rng), scene.boxes, []),
    ],
    ids=["mosaic", "affine", "mixup", "colour"],
)
def test_the_generator_decides(apply):
    scene = triangle([(20, 30), (80, 40), (40, 70)])
    before = Scene(scene.image.copy(), scene.boxes.copy(), [])
    first, again, other = (apply(scene, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)
    assert same(scene, before)
