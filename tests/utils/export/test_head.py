"""The network that goes into exported files gives what Detect gives."""

import pytest
import torch

from utils.export.head import export_network


@pytest.mark.parametrize("shape", [(64, 96), None])
def test_predictions_are_those_of_detect(detector, shape):
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    expected = detector(images)[0]
    found = export_network(detector, shape)(images)
    assert found.shape == (2, 3 * (8 * 12 + 4 * 6 + 2 * 3), 8)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_first_cell_is_decoded_as_the_formula_says(detector):
    network = export_network(detector, (64, 64))
    for conv in network.model[-1].m:
        conv.weight.zero_()
        conv.bias.zero_()  # every sigmoid is a half
    found = network(torch.zeros(1, 3, 64, 64))[0]
    # (2 · 0.5 − 0.5 + column) · stride, (2 · 0.5)² · anchor: the anchor itself, in the middle of its cell
    assert found[0].tolist() == pytest.approx([4, 4, 10, 13, 0.5, 0.5, 0.5, 0.5])
    assert found[1, :4].tolist() == pytest.approx([12, 4, 10, 13])
    assert found[8, :4].tolist() == pytest.approx([4, 12, 10, 13])
    assert found[-1, :4].tolist() == pytest.approx([48, 48, 373, 326])


def test_in_half_precision_boxes_are_decoded_in_float(detector):
    shape, images = (64, 2080), torch.rand(1, 3, 64, 2080, generator=torch.Generator().manual_seed(1))
    expected, found = export_network(detector, shape)(images), export_network(detector, shape, half=True)(images)
    assert found.dtype == torch.float32 and not torch.equal(found, expected)
    distance = (found - expected).abs()
    # FP16 has steps of 2 px beyond 2048; what remains is the error of the convolutions.
    assert expected[..., 0].max() > 2048 and distance[..., 0].max() < 0.5 and distance[..., 4:].max() < 0.02


def test_the_model_itself_stays_as_it_is(detector):
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    export_network(detector, (64, 64))
    assert list(before) == list(detector.state_dict())
    assert all(torch.equal(before[name], value) for name, value in detector.state_dict().items())


def test_fixed_sizes_cost_few_numbers(detector):
    # 320 · 320 px have 6300 boxes; a pair of numbers for the grid and one for the anchor of each would be 25,200.
    assert sum(buffer.numel() for buffer in export_network(detector, (320, 320)).model[-1].buffers()) < 500
