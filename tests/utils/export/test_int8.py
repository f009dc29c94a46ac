"""Eight-bit ONNX files: what is quantized, what is not, and that it still is the detector."""

import numpy as np
import pytest
import torch

from utils.data.config import load_data
from utils.export.int8 import calibration_images
from utils.export.onnx import onnx_bytes, onnx_graph
from utils.export.parity import INT8, comparison_images, deviation, shortcomings
from utils.runtimes.metadata import describe_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def quantized(small_weights):
    """Return (DetectionModel, ModelProto quantized on four drawn images)."""
    from utils.files.checkpoint import load_checkpoint

    model = load_checkpoint(small_weights).model
    images = [image[None].numpy() for image in comparison_images((64, 64), seed=9)]
    return model, onnx_graph(model, describe_model(model, (64, 64)), images=images)


def test_every_convolution_but_those_of_detect_computes_in_eight_bits(quantized):
    _, graph = quantized
    made_by = {name: node for node in graph.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    in_float, channels = [], []
    for node in graph.graph.node:
        if node.op_type == "Conv":
            source = made_by.get(node.input[1])
            if source is None or source.op_type != "DequantizeLinear":
                in_float.append(node.name)
                continue
            weight, scale = tensors[source.input[0]], tensors[source.input[1]]
            assert weight.data_type == onnx.TensorProto.INT8
            channels.append((weight.dims[0], *scale.dims))
    assert sorted(in_float) == [f"/model.24/m.{i}/Conv" for i in range(3)]
    assert len(channels) == 57 and all(outputs == scales for outputs, scales in channels)  # a scale for each channel


def test_maps_that_are_only_joined_have_the_scale_of_what_they_join(quantized):
    _, graph = quantized
    made_by = {name: node for node in graph.graph.node for name in node.output}
    readers = [name for node in graph.graph.node for name in node.input]
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    shared = 0
    for node in graph.graph.node:
        closing = [after for after in graph.graph.node if node.output[0] in after.input]
        if node.op_type == "Concat" and closing and closing[0].op_type == "QuantizeLinear":
            for name in node.input:
                opening = made_by[name]
                source = made_by[opening.input[0]].input[0]
                if made_by[source].op_type in ("Mul", "Add") and readers.count(name) == 1:
                    assert values[opening.input[1]] == values[closing[0].input[1]]
                    shared += 1
    assert shared == 18  # two in each of the 8 C3, and the strided convolutions of the head


def test_it_still_is_the_detector_and_a_third_of_the_size(quantized, tmp_path):
    from utils.runtimes.runtimes import load_detector

    model, graph = quantized
    (tmp_path / "x_int8.onnx").write_bytes(onnx_bytes(graph, describe_model(model, (64, 64)), half=True))
    images = comparison_images((64, 64), seed=9)
    with torch.no_grad():
        expected = model(images)[0]
    found = load_detector(tmp_path / "x_int8.onnx")(images)
    assert not shortcomings(INT8, deviation(expected, found, average=True))
    assert deviation(expected, found).score > 1e-4  # it has been rounded
    full = onnx_bytes(onnx_graph(model, describe_model(model, (64, 64))), describe_model(model, (64, 64)))
    assert (tmp_path / "x_int8.onnx").stat().st_size < 0.4 * len(full)


@pytest.mark.parametrize("activation", ["nn.ReLU()", "nn.ReLU6()", "nn.LeakyReLU(0.1)"])
def test_plain_activations_need_no_float(activation, make_lively, tiny_config, tmp_path):
    from utils.runtimes.runtimes import load_detector

    model = make_lively({**tiny_config, "activation": activation})
    images = comparison_images((64, 64), seed=9)
    metadata = describe_model(model, (64, 64))
    graph = onnx_graph(model, metadata, images=[image[None].numpy() for image in images])
    kinds = [node.op_type for node in graph.graph.node]
    assert not {"Relu", "Clip"}.intersection(kinds)  # the range of the eight bits says the same
    made_by = {name: node.op_type for node in graph.graph.node for name in node.output}
    behind = [made_by[node.input[0]] for node in graph.graph.node if node.op_type == "LeakyRelu"]
    assert set(behind) == ({"DequantizeLinear"} if "Leaky" in activation else set())
    (tmp_path / "x_int8.onnx").write_bytes(onnx_bytes(graph, metadata))
    with torch.no_grad():
        expected = model(images)[0]
    assert not shortcomings(INT8, deviation(expected, load_detector(tmp_path / "x_int8.onnx")(images), average=True))


def test_calibration_takes_letterboxed_training_images(drawn_data):
    images = calibration_images(load_data(drawn_data), (64, 96), count=5)
    assert len(images) == 5 and all(image.shape == (1, 3, 64, 96) for image in images)
    assert all(image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1 for image in images)
    assert all(image[0, :, 0, 0] == pytest.approx(114 / 255) for image in images)  # grey borders left and right
    again = calibration_images(load_data(drawn_data), (64, 96), count=5)
    assert all(np.array_equal(a, b) for a, b in zip(images, again))


def test_a_network_without_signals_cannot_be_calibrated_and_says_so(tiny_config):
    from models.yolo import DetectionModel
    from utils.errors import InputError

    model = DetectionModel({**tiny_config, "width_multiple": 0.25}).eval()  # untrained: signals fade on their way
    images = [image[None].numpy() for image in comparison_images((128, 128), seed=9)]
    with pytest.raises(InputError, match="--int8: cannot calibrate, a layer gives almost one number everywhere"):
        onnx_graph(model, describe_model(model, (128, 128)), images=images)
