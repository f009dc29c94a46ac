"""A picture of photos seen by two detectors: a row a photo, a panel a detector. Images are uint8 [H, W, 3] BGR."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.files.paths import valid_text
from utils.pictures.drawing import FONT, GREY, Colour, draw_text

PANEL = 560  # longest side of a photo in pixels: two of them fit a page or a screen
GAP = 10  # pixels between panels and between rows
BAR = 26  # height of a line of text
SCALE = 0.5  # of that text
TAG, TALL = 0.42, 18  # of the text at a box, and its height in pixels
QUALITY = 85  # of the JPEG, 0 to 100
DASH = 7  # pixels of a stroke, and of the gap behind it
BLACK, WHITE, PAPER, INK = (0, 0, 0), (255, 255, 255), (248, 248, 248), (30, 30, 30)


@dataclass(frozen=True)
class Style:
    """How a kind of box looks: told apart by its stroke, not by its colour alone."""

    tone: Colour
    width: int
    dashed: bool = False
    crossed: bool = False


STYLES = {
    "label": Style(WHITE, 1),
    "found": Style((115, 158, 0), 2),
    "lost": Style((0, 94, 213), 2, crossed=True),
    "false": Style((178, 60, 140), 2, dashed=True),
    "known": Style((178, 60, 140), 1, dashed=True),
}


@dataclass(frozen=True)
class Mark:
    """A box on a photo: its kind (a key of STYLES), its corners x1, y1, x2, y2 in pixels, and what stands at it."""

    kind: str
    box: Sequence[float]
    text: str = ""


@dataclass(frozen=True)
class Panel:
    """What one detector made of a photo: a line above it, and what is marked on it, the last on top."""

    title: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Row:
    """A photo as two detectors see it."""

    title: str
    image: np.ndarray
    panels: tuple[Panel, Panel]


def draw_pairs(title: str, legend: Sequence[tuple[str, str]], rows: Sequence[Row]) -> np.ndarray:
    """Return the picture of all rows, below a title and a legend of pairs (a key of STYLES, what it means)."""
    parts = [heading(title, legend)]
    for row in rows:
        parts += [blank(GAP), draw_row(row)]
    return np.concatenate([*parts, blank(GAP)])


def blank(height: int, width: int = 2 * PANEL + 3 * GAP) -> np.ndarray:
    """Return an empty part of the picture."""
    return np.full((height, width, 3), PAPER, np.uint8)


def heading(title: str, legend: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return the title and a line of legend, with a sample of each kind of box."""
    image, left = blank(2 * BAR + GAP), GAP
    write(image, title, left, BAR, 1.1 * SCALE)
    for kind, words in legend:
        draw_mark(image, Mark(kind, (left, BAR + 12, left + 28, BAR + 30)))
        write(image, words, left + 36, 2 * BAR)
        left += 36 + text_width(words) + 3 * GAP
    return image


def draw_row(row: Row) -> np.ndarray:
    """Return a photo twice beside each other, with the marks of each detector."""
    height, width = row.image.shape[:2]
    factor = PANEL / max(height, width)
    shape = round(height * factor), round(width * factor)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    photo = cv2.resize(row.image, shape[::-1], interpolation=way)
    image = blank(2 * BAR + shape[0])
    image[: 2 * BAR - 2, GAP:-GAP] = (225, 225, 225)
    write(image, row.title, 2 * GAP, BAR - 7)
    for panel, left in zip(row.panels, (GAP, PANEL + 2 * GAP)):
        write(image, panel.title, left + GAP, 2 * BAR - 10)
        place = image[2 * BAR :, left : left + PANEL]
        place[:] = GREY
        start = (PANEL - shape[1]) // 2
        place[:, start : start + shape[1]] = draw_marks(photo.copy(), panel.marks, factor)
    return image


def draw_marks(image: np.ndarray, marks: Sequence[Mark], factor: float) -> np.ndarray:
    """Draw boxes times `factor`, then the texts that cover no earlier one; changes and returns the image."""
    scaled = [Mark(mark.kind, [value * factor for value in mark.box], mark.text) for mark in marks]
    for mark in scaled:
        draw_mark(image, mark)
    taken: list[tuple[int, int, int]] = []
    for mark in (mark for mark in scaled if mark.text):
        width = text_width(mark.text, TAG) + 3
        left = max(min(round(mark.box[0]), image.shape[1] - width), 0)
        for bottom in (max(round(mark.box[1]), TALL), min(round(mark.box[3]) + TALL, image.shape[0])):
            if all(left >= end or left + width <= start or abs(bottom - low) >= TALL for start, end, low in taken):
                draw_text(image, mark.text, left, bottom, STYLES[mark.kind].tone, TAG)
                taken.append((left, left + width, bottom))
                break
    return image


def as_jpeg(image: np.ndarray) -> bytes:
    """Return an image as the bytes of a JPEG file that a page can hold."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def draw_mark(image: np.ndarray, mark: Mark) -> None:
    """Draw a box in the style of its kind, with an edge that shows it on any ground; changes the image."""
    style = STYLES[mark.kind]
    lines = list(strokes(mark, style))
    for tone, width in ((BLACK if style.tone == WHITE else WHITE, style.width + 1), (style.tone, style.width)):
        for start, end in lines:
            cv2.line(image, start, end, tone, width, cv2.LINE_AA)


def strokes(mark: Mark, style: Style) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield the lines (start, end) that a box is drawn with."""
    left, top, right, bottom = (round(float(value)) for value in mark.box)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    for start, end in zip(corners, [*corners[1:], corners[0]]):
        yield from dashes(start, end) if style.dashed else [(start, end)]
    if style.crossed:
        yield from [(corners[0], corners[2]), (corners[1], corners[3])]


def dashes(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield the strokes of a dashed line, which begins and ends with one."""
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    pieces = 2 * max(round((length / DASH - 1) / 2), 1) + 1
    points = np.linspace(start, end, pieces + 1).round().astype(int).tolist()
    for first, second in list(zip(points, points[1:]))[::2]:
        yield tuple(first), tuple(second)


def write(image: np.ndarray, text: str, left: int, bottom: int, scale: float = SCALE) -> None:
    """Write dark text; changes the image."""
    cv2.putText(image, valid_text(text), (left, bottom), FONT, scale, INK, 1, cv2.LINE_AA)


def text_width(text: str, scale: float = SCALE) -> int:
    """Return the width of a text in pixels."""
    return cv2.getTextSize(text, FONT, scale, 1)[0][0]
