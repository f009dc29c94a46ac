"""Augmentation of an image together with its boxes. Every function that draws takes the generator it draws from.

Boxes travel as float32 [n, 5]: class, x1, y1, x2, y2 in pixels of the image they belong to.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

GREY = (114, 114, 114)
SMALLEST_SIDE = 2  # px; a box must be larger than this in both sides to survive the affine
LEAST_AREA = 0.1  # share of its area that a box must keep …
LEAST_AREA_POLYGON = 0.01  # … and one that has a polygon: its box is exact even when little is left
LARGEST_ASPECT = 100
POLYGON_POINTS = 200  # points a polygon is resampled to before it is cut at the image's border
MIXUP_BETA = 32.0  # Beta(32, 32): close to one half each
PASTE_OVERLAP = 0.3  # share of any other box that a pasted object may cover
TINY = 1e-9


@dataclass
class Scene:
    """An image uint8 [h, w, 3], its boxes, and one polygon float32 [k, 2] in pixels, or None, a box."""

    image: np.ndarray
    boxes: np.ndarray
    polygons: list

    def shifted(self, right: float, down: float) -> Any:
        """Return the boxes and polygons, moved by pixels."""
        boxes = self.boxes + np.array([0, right, down, right, down], np.float32)
        move = np.array([right, down], np.float32)
        return boxes, [None if polygon is None else polygon + move for polygon in self.polygons]


def letterbox(
    image: np.ndarray, shape: tuple[int, int], enlarge: bool = True
) -> tuple[np.ndarray, float, tuple[float, float]]:
    """Fit [h, w, 3] into shape (h, w) with even grey borders, keeping the aspect.

    Returns (image, scale, (left, top)): original pixels times scale plus (left, top) are pixels of the result; left
    and top are the exact halves of the border, while pixels are placed by round(half - 0.1).
    """
    height, width = image.shape[:2]
    scale = min(shape[0] / height, shape[1] / width)
    if not enlarge:
        scale = min(scale, 1.0)
    new_width, new_height = max(round(width * scale), 1), max(round(height * scale), 1)
    if (new_height, new_width) != (height, width):
        image = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    left, top = (shape[1] - new_width) / 2, (shape[0] - new_height) / 2
    if left or top:
        top_px, left_px = round(top - 0.1), round(left - 0.1)
        bottom_px, right_px = round(top + 0.1), round(left + 0.1)
        image = cv2.copyMakeBorder(
            image, top_px, bottom_px, left_px, right_px, borderType=cv2.BORDER_CONSTANT, value=GREY
        )
    return image, scale, (left, top)


def mosaic(scenes: Sequence[Scene], imgsz: int, rng: np.random.Generator) -> Scene:
    """Return four scenes around a random centre on a grey canvas of twice imgsz, boxes cut at the canvas.

    The scenes' long sides are imgsz; each touches the centre with one corner, in the order top left, top right,
    bottom left, bottom right.
    """
    side = 2 * imgsz
    x, y = (int(v) for v in rng.uniform(imgsz / 2, 3 * imgsz / 2, 2))
    canvas = np.full((side, side, 3), GREY[0], np.uint8)
    boxes, polygons = [], []
    for corner, scene in enumerate(scenes):
        height, width = scene.image.shape[:2]
        left = x if corner % 2 else x - width
        top = y if corner // 2 else y - height
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + width, side), min(top + height, side)
        canvas[y1:y2, x1:x2] = scene.image[y1 - top : y2 - top, x1 - left : x2 - left]
        moved_boxes, moved_polygons = scene.shifted(left, top)
        boxes.append(moved_boxes)
        polygons += moved_polygons
    joined = np.concatenate(boxes)
    np.clip(joined[:, 1:], 0, side, out=joined[:, 1:])
    return Scene(canvas, joined, [None if polygon is None else polygon.clip(0, side) for polygon in polygons])


def random_affine(scene: Scene, shape: tuple[int, int], hyp: Mapping[str, float], rng: np.random.Generator) -> Scene:
    """Turn, scale, shear and move a scene around its centre and crop it to shape (h, w); grey where nothing is.

    hyp: degrees and shear in ± degrees, scale as 1 ± scale, translate as 0.5 ± translate of the result's size,
    perspective as ± the two elements of the matrix's last row. Boxes that kept too little are dropped; the polygons
    end here, because the boxes that remain already follow them.
    """
    matrix, scale = affine_matrix(scene.image.shape, shape, hyp, rng)
    height, width = shape
    if hyp["perspective"]:
        image = cv2.warpPerspective(scene.image, matrix, (width, height), borderValue=GREY)
    elif (matrix == np.eye(3)).all() and scene.image.shape[:2] == tuple(shape):
        image = scene.image
    else:
        image = cv2.warpAffine(scene.image, matrix[:2], (width, height), borderValue=GREY)
    boxes = transform_boxes(scene, matrix, scale, shape)
    return Scene(image, boxes, [None] * len(boxes))


def affine_matrix(
    source: Sequence[int], shape: tuple[int, int], hyp: Mapping[str, float], rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Draw the matrix [3, 3] from pixels of a source (h, w, …) to pixels of a result (h, w), and its scale."""
    to_centre = np.eye(3)
    to_centre[:2, 2] = -source[1] / 2, -source[0] / 2
    perspective = np.eye(3)
    perspective[2, :2] = rng.uniform(-hyp["perspective"], hyp["perspective"], 2)
    angle = math.radians(rng.uniform(-hyp["degrees"], hyp["degrees"]))
    scale = rng.uniform(1 - hyp["scale"], 1 + hyp["scale"])
    rotation = np.eye(3)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    rotation[:2, :2] = [[cosine, sine], [-sine, cosine]]  # counter-clockwise on the screen, where y grows downwards
    shear = np.eye(3)
    shear[0, 1], shear[1, 0] = np.tan(np.radians(rng.uniform(-hyp["shear"], hyp["shear"], 2)))
    to_place = np.eye(3)
    moves = rng.uniform(0.5 - hyp["translate"], 0.5 + hyp["translate"], 2)
    to_place[:2, 2] = moves[0] * shape[1], moves[1] * shape[0]
    return to_place @ shear @ rotation @ perspective @ to_centre, scale


def transform_boxes(scene: Scene, matrix: np.ndarray, scale: float, shape: tuple[int, int]) -> Any:
    """Return the boxes of a scene after a matrix [3, 3] of the given scale, cut at shape (h, w), the lost ones dropped.

    A box becomes the bounds of its four moved corners, or of its moved polygon where there is one.
    """
    if not len(scene.boxes):
        return scene.boxes
    height, width = shape
    x1, y1, x2, y2 = scene.boxes[:, 1:].T
    corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1).reshape(-1, 4, 2)  # [n, 4, 2]
    moved = _project(corners, matrix)
    bounds = np.concatenate([moved.min(1), moved.max(1)], 1)  # [n, 4]
    least = np.full(len(bounds), LEAST_AREA)
    for index, polygon in enumerate(scene.polygons):
        if polygon is not None:
            points = _project(_resample(polygon), matrix)
            inside = points[((points >= 0) & (points <= (width, height))).all(1)]
            bounds[index] = (*inside.min(0), *inside.max(0)) if len(inside) else 0
            least[index] = LEAST_AREA_POLYGON
    bounds[:, 0::2] = bounds[:, 0::2].clip(0, width)
    bounds[:, 1::2] = bounds[:, 1::2].clip(0, height)
    before = (scene.boxes[:, 3:5] - scene.boxes[:, 1:3]) * scale
    kept = _survivors(before, bounds[:, 2:] - bounds[:, :2], least)
    return np.concatenate([scene.boxes[kept, :1], bounds[kept].astype(np.float32)], 1)


def mixup(first: Scene, second: Scene, rng: np.random.Generator) -> Scene:
    """Return the blend of two scenes of one size, with the boxes of both."""
    share = rng.beta(MIXUP_BETA, MIXUP_BETA)
    image = cv2.addWeighted(first.image, share, second.image, 1 - share, 0)
    return Scene(image, np.concatenate([first.boxes, second.boxes]), first.polygons + second.polygons)


def copy_paste(scene: Scene, probability: float, rng: np.random.Generator) -> Scene:
    """Paste mirrored copies of a share of the objects that have polygons where they hide no other box.

    Simple copy-paste (Ghiasi et al. 2021) within one image, as the public YOLOv5 does it.
    """
    candidates = [index for index, polygon in enumerate(scene.polygons) if polygon is not None]
    width = scene.image.shape[1]
    mask = np.zeros(scene.image.shape[:2], np.uint8)
    boxes, polygons = scene.boxes, list(scene.polygons)
    for index in rng.permutation(candidates)[: round(probability * len(candidates))]:
        category, x1, y1, x2, y2 = scene.boxes[index]
        pasted = np.array([[category, width - x2, y1, width - x1, y2]], np.float32)
        if (_covered(pasted[0, 1:], boxes[:, 1:]) < PASTE_OVERLAP).all():
            mirrored = scene.polygons[index] * (-1, 1) + (width, 0)
            cv2.fillPoly(mask, [mirrored.round().astype(np.int32)], 1)
            boxes = np.concatenate([boxes, pasted])
            polygons.append(mirrored.astype(np.float32))
    image = np.where(mask[..., None], scene.image[:, ::-1], scene.image) if mask.any() else scene.image
    return Scene(image, boxes, polygons)


def jitter_colour(image: np.ndarray, hyp: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Return a BGR image with hue, saturation and value multiplied by 1 ± hsv_h, hsv_s, hsv_v; hue wraps around."""
    gains = 1 + rng.uniform(-1, 1, 3) * (hyp["hsv_h"], hyp["hsv_s"], hyp["hsv_v"])
    levels = np.arange(256)
    table = np.stack([(levels * gains[0]) % 180, *(levels * gain for gain in gains[1:])], 1).clip(0, 255)
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    return cv2.cvtColor(cv2.LUT(hsv, table.astype(np.uint8).reshape(1, 256, 3)), cv2.COLOR_HSV2BGR)


def vary(scene: Scene, hyp: Mapping[str, float], rng: np.random.Generator) -> Scene:
    """Return a Scene in other colours and, by chance, flipped: the last steps of every training item.

    An augmentation of one image is added here. hyp: strengths and chances, as in data/hyps/*.yaml.
    """
    scene.image = jitter_colour(scene.image, hyp, rng)
    if rng.random() < hyp["flipud"]:
        scene = flip_vertically(scene)
    if rng.random() < hyp["fliplr"]:
        scene = flip_sideways(scene)
    return scene


def flip_vertically(scene: Scene) -> Scene:
    """Return the scene upside down, without polygons."""
    height = scene.image.shape[0]
    boxes = scene.boxes.copy()
    boxes[:, [2, 4]] = height - scene.boxes[:, [4, 2]]
    return Scene(cv2.flip(scene.image, 0), boxes, [None] * len(boxes))


def flip_sideways(scene: Scene) -> Scene:
    """Return the scene mirrored left to right, without polygons."""
    width = scene.image.shape[1]
    boxes = scene.boxes.copy()
    boxes[:, [1, 3]] = width - scene.boxes[:, [3, 1]]
    return Scene(cv2.flip(scene.image, 1), boxes, [None] * len(boxes))


def _project(points, matrix):
    """Return points [..., 2] moved by a matrix [3, 3]."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[..., :2] / moved[..., 2:]


def _resample(polygon):
    """Return POLYGON_POINTS points evenly by index along the closed polygon [k, 2]."""
    closed = np.concatenate([polygon, polygon[:1]])
    places = np.linspace(0, len(polygon), POLYGON_POINTS)
    return np.stack([np.interp(places, np.arange(len(closed)), closed[:, axis]) for axis in range(2)], 1)


def _survivors(before, after, least_area):
    """Return a bool mask [n] of boxes (w, h in px, before and after) that kept enough size, area and a sane aspect."""
    width, height = after.T
    aspect = np.maximum(width / (height + TINY), height / (width + TINY))
    kept_area = after.prod(1) / (before.prod(1) + TINY)
    return (after > SMALLEST_SIDE).all(1) & (kept_area > least_area) & (aspect < LARGEST_ASPECT)


def _covered(box, others):
    """Return the share of each of others [n, 4] that box [4] covers (x1, y1, x2, y2)."""
    overlap = (np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])).clip(0).prod(1)
    return overlap / ((others[:, 2:] - others[:, :2]).prod(1) + TINY)
