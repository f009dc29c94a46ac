"""Maps decoded with NumPy alone: numbers worked out by hand, and the same as the project's own boxes."""

import subprocess
import sys

import numpy as np
import torch

from utils.boxes.geometry import non_max_suppression
from utils.files.paths import ROOT
from utils.runtimes.maps import Scales, decode_maps, suppress


def test_a_cell_is_decoded_as_worked_out_by_hand():
    values = np.zeros((1, 2 * 6, 2, 3), np.float32)
    values[0, 6:, 1, 2] = 0.75, 0.25, 0.5, 1.0, 0.9, 0.3  # second anchor, row 1, column 2
    found = decode_maps([values], Scales([8], [[[10, 20], [30, 40]]]))
    assert found.shape == (1, 12, 6) and found.dtype == np.float32
    # x: (2 · 0.75 − 0.5 + 2) · 8, y: (2 · 0.25 − 0.5 + 1) · 8, w: (2 · 0.5)² · 30, h: (2 · 1)² · 40
    assert np.allclose(found[0, 6 + 3 + 2], [24, 8, 30, 160, 0.9, 0.3])
    assert np.allclose(found[0, 0], [-4, -4, 0, 0, 0, 0])


def test_suppression_is_that_of_detect():
    rng = np.random.default_rng(3)
    boxes = np.concatenate((rng.uniform(20, 60, (200, 2)), rng.uniform(5, 40, (200, 2))), 1)
    predictions = np.concatenate((boxes, rng.uniform(0, 1, (200, 4))), 1).astype(np.float32)
    found = suppress(predictions, 0.3, 0.4)
    (expected,) = non_max_suppression(torch.from_numpy(predictions)[None], 0.3, 0.4, multi_label=False)
    assert 3 < len(expected) < 100 and np.allclose(found, expected.numpy(), atol=1e-4)
    assert suppress(predictions, 0.999).shape == (0, 6)


def test_the_decoder_runs_where_nothing_else_of_the_project_is(tmp_path):
    (tmp_path / "maps.py").write_bytes((ROOT / "utils/runtimes/maps.py").read_bytes())
    check = "import sys, maps; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=tmp_path).returncode == 0
