"""Pictures of feature maps."""

import cv2
import numpy as np
import torch

from utils.detection.feature_maps import feature_maps, tile


def test_every_layer_but_detect_is_drawn(tiny_model, tmp_path):
    tiny_model.eval()
    with torch.no_grad():
        with feature_maps(tiny_model, tmp_path / "a"):
            tiny_model(torch.rand(1, 3, 64, 64))
        tiny_model(torch.rand(1, 3, 64, 64))  # no longer watched
    files = sorted(file.name for file in (tmp_path / "a").glob("*.png"))
    assert files == [f"stage{i}_{kind}_features.png" for i, kind in enumerate(("Conv", "Conv", "C3", "Conv", "Conv"))]
    maps = np.load(tmp_path / "a/stage2_C3_features.npy")
    assert maps.shape == (8, 16, 16)  # 64 channels at an eighth, stride 4
    # Eight maps of 16 × 16 in a row with gaps of 2.
    assert cv2.imread(str(tmp_path / "a/stage2_C3_features.png")).shape == (16, 8 * 18 - 2, 3)
    assert not any(layer._forward_hooks for layer in tiny_model.model)


def test_maps_of_one_row_are_left_out(tiny_model, tmp_path):
    with torch.no_grad(), feature_maps(tiny_model.eval(), tmp_path):
        tiny_model(torch.rand(1, 3, 16, 64))
    assert sorted(file.name[:6] for file in tmp_path.glob("*.png")) == ["stage0", "stage1", "stage2", "stage3"]


def test_each_map_is_stretched_to_its_own_range_and_constant_ones_are_flat():
    maps = [[[0, 1], [2, 3]], [[100, 110], [120, 130]], [[7, 7], [7, 7]]]
    picture = tile(np.array(maps, np.float32))
    assert picture.shape == (2, 3 * 4 - 2, 3)
    first, second, third = picture[:, 0:2], picture[:, 4:6], picture[:, 8:10]
    assert (first == second).all()
    assert len(np.unique(third.reshape(-1, 3), axis=0)) == 1
    assert (picture[:, 2:4] == 255).all()


def test_many_maps_fill_rows_of_eight():
    assert tile(np.zeros((20, 5, 4), np.float32)).shape == (3 * 7 - 2, 8 * 6 - 2, 3)
