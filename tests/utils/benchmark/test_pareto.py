"""The picture of accuracy over time: what is joined, and that its labels can be read."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
from matplotlib.text import Annotation, Text

from utils.benchmark.pareto import draw_pareto, front


def results(times, scores, threads=(1,)):
    return [
        SimpleNamespace(
            model=f"folder/a_rather_long_name_{i}.onnx",
            threads=count,
            ms=SimpleNamespace(median=ms),
            map=score,
            height=320,
            width=320,
            runtime="onnxruntime",
        )
        for count in threads
        for i, (ms, score) in enumerate(zip(times, scores))
    ]


def test_labels_cover_neither_each_other_nor_the_frame():
    times = [5 + i % 4 * 0.01 for i in range(8)] + [9.0, 9.0, 20.0]  # close to each other, the same, and at the edge
    figure = draw_pareto(results(times, [0.5 + i % 3 * 0.001 for i in range(11)], (1, 4)))
    (axes,) = figure.axes
    boxes = [Text.get_window_extent(note) for note in axes.texts if isinstance(note, Annotation)]
    assert len(boxes) == 22
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    for box in boxes:
        assert axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 < box.y1 <= axes.bbox.y1
        assert not box.overlaps(axes.get_legend().get_window_extent())


def test_a_label_stands_beside_the_line_where_there_is_room():
    (axes,) = draw_pareto(results([5.0, 6.0, 9.0], [0.4, 0.5, 0.501])).axes
    corners = axes.transData.transform(axes.lines[1].get_xydata())
    pixels = np.concatenate([np.linspace(corners[i], corners[i + 1], 100) for i in (0, 1)])
    for note in axes.texts:
        assert not Text.get_window_extent(note).count_contains(pixels)


def test_a_label_without_rivals_stands_beside_its_point():
    (axes,) = draw_pareto(results([5.0, 9.0], [0.4, 0.6])).axes
    for note in axes.texts:
        x, y = axes.transData.transform(note.xy)
        box = Text.get_window_extent(note)
        assert min(abs(box.x0 - x), abs(box.x1 - x)) < 30 and box.y0 < y < box.y1


def test_the_front_holds_what_no_faster_one_reaches():
    points = [(10, 0.5), (5, 0.4), (7, 0.35), (20, 0.5), (5, 0.3), (30, 0.6)]
    assert front(points) == [1, 0, 5]


def test_the_line_joins_the_front():
    (axes,) = draw_pareto(results((5.0, 4.0, 6.0, 4.0, 7.0), (0.5, 0.4, 0.45, 0.3, 0.6))).axes
    assert list(axes.lines[1].get_xdata()) == [4.0, 5.0, 7.0]
