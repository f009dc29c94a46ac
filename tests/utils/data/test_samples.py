"""Samples in flat arrays are the same as one by one."""

import os
from copy import deepcopy

import numpy as np
import pytest

from utils.data.labels import Sample
from utils.data.samples import Paths, Ragged, Samples

TRIANGLE = np.array([[0, 0], [1, 0], [0, 1]], np.float32)


@pytest.fixture
def few():
    """Return three Sample: two boxes, none, a box and a triangle."""
    boxes = np.array([[0, 0.5, 0.5, 0.2, 0.2], [2, 0.5, 0.5, 1, 1]], np.float32)
    return [
        Sample("a.png", (3, 4), boxes),
        Sample(os.fsdecode(b"\xff\xe9 \xe4\xb8\xad.png"), (5, 6), boxes[:0]),
        Sample("c.png", (7, 8), boxes[::-1].copy(), [None, TRIANGLE]),
    ]


def facts(samples):
    points = [[None if s is None else s.tolist() for s in sample.segments or ()] for sample in samples]
    return [(s.path, s.shape, s.labels.tolist()) for s in samples], points


def test_each_is_what_it_was(few):
    samples = Samples.of(few)
    assert facts(samples) == facts(few) == facts(deepcopy(samples))
    assert facts([samples[-1], samples[1]]) == facts([few[-1], few[1]])
    assert Samples.of(samples) is samples and facts(Samples.of(samples)) == facts(few)
    with pytest.raises(IndexError):
        samples[3]


@pytest.mark.parametrize("order", [[2, 0, 1], [1], [2, 2], []])
def test_some_of_them_in_any_order(few, order):
    assert facts(Samples.of(few).take(np.array(order, int))) == facts([few[index] for index in order])


def test_slices(few):
    for part in (slice(1, None), slice(None, None, -1), slice(0, 0)):
        assert facts(Samples.of(few)[part]) == facts(few[part])


def test_classes_are_renumbered_and_left_out(few):
    samples = Samples.of(few).renumbered(np.array([-1, -1, 1]))
    assert [sample.labels[:, 0].tolist() for sample in samples] == [[1], [], [1]]
    assert facts(samples)[1] == [[], [], []]
    samples = Samples.of(few).renumbered(np.array([1, -1, -1]))
    assert [sample.segments and sample.segments[0].tolist() for sample in samples] == [None, None, TRIANGLE.tolist()]
    assert facts(few)[0][0][2][0][0] == 0  # the old ones stay


def test_nothing_is_nothing():
    samples = Samples.of([])
    assert (len(samples), list(samples), samples.labels.values.shape) == (0, [], (0, 5))


def test_arrays_of_different_length():
    ragged = Ragged(np.arange(5), [2, 0, 3])
    assert [part.tolist() for part in ragged] == [[0, 1], [], [2, 3, 4]]
    assert np.concatenate(ragged).tolist() == [0, 1, 2, 3, 4]
    assert ragged.lengths.tolist() == [2, 0, 3]
    assert np.shares_memory(ragged[2], ragged.values)


def test_names_take_no_object_each():
    paths = Paths.of(["a", "中", "b"])
    assert list(paths) == ["a", "中", "b"] and paths.names.values.nbytes == 5
