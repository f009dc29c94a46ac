"""Histograms of batch norm weights by epoch, as a table and as a picture."""

import csv
from types import SimpleNamespace

import cv2
import pytest
import torch
from torch import nn

from utils.files.paths import RunFolder
from utils.training.logs.gamma import BINS, GammaRecorder, batch_norm_weights, near_zero


def test_near_zero():
    assert near_zero(torch.tensor([0.0, -9e-4, 1e-3, 1.0])) == 0.5


def test_batch_norm_weights(tiny_model):
    weights = batch_norm_weights(tiny_model)
    assert len(weights) == 9 and weights["model.0.bn"].shape == (8,)
    assert not any(weight.requires_grad for weight in weights.values())


@pytest.fixture
def run(tmp_path):
    """A network of one batch norm with gammas 0, 0.5, 0.8 and −1."""
    model = nn.Sequential(nn.BatchNorm2d(4))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([0.0, 0.5, 0.8, -1.0]))
    return SimpleNamespace(model=model, epoch=0, folder=RunFolder(tmp_path))


def rows_of(run):
    with run.folder.gamma_csv.open(newline="") as file:
        return list(csv.reader(file))


def test_every_epoch_counts_all_gammas_in_the_same_bins(run):
    hook = GammaRecorder()
    hook.start(run)
    for run.epoch in range(3):
        hook.after_validation(run)
        with torch.no_grad():
            run.model[0].weight *= 2
    head, *rows = rows_of(run)
    assert head[:3] == ["epoch", "share_below_0.001", "0.0"] and len(head) == 2 + BINS
    assert [row[:2] for row in rows] == [[str(epoch), "0.25000"] for epoch in range(3)]
    assert all(sum(map(int, row[2:])) == 4 for row in rows)
    width = 1.25 / BINS  # the largest at first, and a quarter of it
    expected = [0] * BINS
    for value in (0.0, 0.5, 0.8, 1.0):
        expected[int(value / width)] += 1
    assert list(map(int, rows[0][2:])) == expected
    assert int(rows[2][-1]) == 3  # 2, 3.2 and 4 are beyond the last edge
    hook.finish(run)
    assert cv2.imread(str(run.folder.gamma_png)) is not None


def test_a_resumed_run_goes_on_in_the_same_table(run):
    first = GammaRecorder()
    first.start(run)
    for run.epoch in range(3):
        first.after_validation(run)
    whole = rows_of(run)
    second = GammaRecorder(draw=False)
    run.epoch = 1
    second.start(run)
    for run.epoch in (1, 2):
        second.after_validation(run)
    assert rows_of(run) == whole
    second.finish(run)
    assert not run.folder.gamma_png.exists()


def test_a_network_without_batch_norms_writes_nothing(run):
    run.model = nn.Sequential(nn.Conv2d(3, 4, 1))
    hook = GammaRecorder()
    hook.start(run)
    hook.after_validation(run)
    hook.finish(run)
    assert not run.folder.gamma_csv.exists()
