"""Eight-bit graphs in the shape that is fast: the same numbers from the folded image and the widened maps."""

import pytest
import torch
from torch.nn import functional

from utils.export import int8
from utils.export.int8_packing import folded
from utils.export.onnx import onnx_bytes, onnx_graph
from utils.export.parity import comparison_images, deviation
from utils.files.checkpoint import load_checkpoint
from utils.runtimes.metadata import describe_model
from utils.runtimes.runtimes import load_detector

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


class Untouched:
    """Leaves a graph as the quantizer made it."""

    def __init__(self, graph):
        pass

    def pack(self):
        pass


@pytest.fixture(scope="module")
def graphs(small_weights):
    """Return (DetectionModel, its quantized ModelProto before packing, after it)."""
    model = load_checkpoint(small_weights).model
    settings = {"images": [image[None].numpy() for image in comparison_images((64, 96), seed=9)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "Packer", Untouched)
        before = onnx_graph(model, describe_model(model, (64, 96)), **settings)
    return model, before, onnx_graph(model, describe_model(model, (64, 96)), **settings)


def convolutions(graph):
    """Return [(shape of the weights, strides)] of a graph's quantized convolutions, in its order."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.graph.initializer}
    makers = {name: node for node in graph.graph.node for name in node.output}
    convs = [node for node in graph.graph.node if node.op_type == "Conv" and node.input[1] in makers]
    strides = [next(list(a.ints) for a in node.attribute if a.name == "strides") for node in convs]
    return [(shapes[makers[node.input[1]].input[0]], stride) for node, stride in zip(convs, strides)]


def test_folded_weights_on_the_folded_image_give_the_strided_convolution():
    images, weights = torch.rand(2, 3, 12, 16), torch.rand(5, 3, 6, 6)
    expected = functional.conv2d(images, weights, stride=2, padding=2)
    cells = images.view(2, 3, 6, 2, 8, 2).permute(0, 3, 5, 1, 2, 4).reshape(2, 12, 6, 8)  # SpaceToDepth of ONNX
    found = functional.conv2d(cells, torch.from_numpy(folded(weights.numpy())), padding=1)
    assert found.shape == expected.shape == (2, 5, 6, 8) and torch.allclose(found, expected, atol=1e-4)


def test_the_image_is_folded_and_narrow_maps_between_convolutions_are_wide(graphs):
    _, before, after = graphs
    assert convolutions(before)[:2] == [([8, 3, 6, 6], [2, 2]), ([16, 8, 3, 3], [2, 2])]
    assert convolutions(after)[:2] == [([16, 12, 3, 3], [1, 1]), ([16, 16, 3, 3], [2, 2])]
    assert [node.op_type for node in after.graph.node].count("SpaceToDepth") == 1
    assert convolutions(before)[5][0] == [8, 8, 3, 3]  # of a bottleneck: an addition reads it, so it stays as it is
    assert convolutions(after)[2:] == convolutions(before)[2:]


def test_the_predictions_stay_the_same(graphs, tmp_path):
    model, *both = graphs
    images, found = comparison_images((64, 96), seed=5)[:2], []
    for name, graph in zip(("before", "after"), both):
        file = tmp_path / f"{name}.onnx"
        file.write_bytes(onnx_bytes(graph, describe_model(model, (64, 96)), half=True))
        found.append(load_detector(file)(images))
    # Equal with VNNI. Without it, products of eight bits saturate, and which ones do depends on the way taken.
    difference = deviation(*found, average=True)
    assert max(difference.box, difference.score) < 0.01
