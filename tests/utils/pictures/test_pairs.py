"""What is drawn where in a picture of pairs. How it looks was judged by eye."""

import cv2
import numpy as np

from utils.pictures.pairs import BAR, GAP, PANEL, STYLES, Mark, Panel, Row, as_jpeg, dashes, draw_mark, draw_pairs

BOX = (20, 20, 80, 80)


def drawn(kind):
    """Return where a box of a kind is drawn: bool [100, 100]."""
    image = np.full((100, 100, 3), 114, np.uint8)
    draw_mark(image, Mark(kind, BOX))
    return (image != 114).any(2)


def test_kinds_are_told_apart_without_colour():
    forms = {kind: drawn(kind) for kind in STYLES}
    assert forms["lost"][50, 50] and not any(form[50, 50] for kind, form in forms.items() if kind != "lost")
    assert not forms["false"][20, 20:80].all() and forms["found"][20, 20:80].all()
    assert forms["label"].sum() < forms["found"].sum() and forms["known"].sum() < forms["false"].sum()


def test_dashes_begin_and_end_at_the_corners():
    lines = list(dashes((0, 5), (63, 5)))
    assert lines[0] == ((0, 5), (7, 5)) and lines[-1] == ((56, 5), (63, 5)) and len(lines) == 5
    assert list(dashes((3, 3), (3, 3)))  # a box without a side


def test_a_row_has_a_panel_for_each_detector():
    photo = np.zeros((10, 20, 3), np.uint8)
    row = Row("a.jpg", photo, (Panel("dense", []), Panel("cut", [Mark("lost", (0, 0, 20, 10))])))
    image = draw_pairs("title", [("lost", "lost")], [row, row])
    tall = PANEL // 2
    assert image.shape == (2 * BAR + 2 * GAP + 2 * (GAP + 2 * BAR + tall), 2 * PANEL + 3 * GAP, 3)
    middle = 2 * BAR + 2 * GAP + 2 * BAR + tall // 2
    assert not image[middle, GAP + PANEL // 2].any()
    assert image[middle, 2 * GAP + PANEL + PANEL // 2].tolist() == list(STYLES["lost"].tone)


def test_a_tall_photo_is_centred_and_no_higher_than_a_panel():
    row = Row("a.jpg", np.zeros((90, 30, 3), np.uint8), (Panel("", []), Panel("", [])))
    image = draw_pairs("", [], [row])
    line = image[-GAP - 5]
    assert len(image) == 2 * BAR + GAP + GAP + 2 * BAR + PANEL + GAP
    assert line[GAP + 5].any() and not line[GAP + PANEL // 2].any()


def test_texts_cover_no_earlier_text():
    def image(*texts):
        marks = [Mark("false", (100, 100, 200, 150), text) for text in texts]
        return draw_pairs("", [], [Row("", np.zeros((400, 400, 3), np.uint8), (Panel("", marks), Panel("", [])))])

    assert np.array_equal(image("cat", "cat", "cat"), image("cat", "cat", ""))  # above, below, no place for a third
    assert not np.array_equal(image("cat", "cat", ""), image("cat", "", ""))


def test_a_jpeg_is_read_back():
    image = np.full((16, 16, 3), 200, np.uint8)
    back = cv2.imdecode(np.frombuffer(as_jpeg(image), np.uint8), cv2.IMREAD_COLOR)
    assert back.shape == image.shape and abs(int(back[8, 8, 0]) - 200) < 5
