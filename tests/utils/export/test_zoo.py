"""Every model of the zoo, pruned, gives in ONNX Runtime what it gives in PyTorch; in eight bits, about that."""

import json

import pytest
import torch
import yaml

from utils.errors import InputError
from utils.export.ncnn import write_ncnn
from utils.export.onnx import onnx_bytes, onnx_graph
from utils.export.parity import EXACT, INT8, comparison_images, deviation, shortcomings
from utils.export.rknn import write_rknn
from utils.export.yolov5 import stock_network
from utils.files.paths import ROOT
from utils.runtimes.metadata import describe_model
from utils.runtimes.runtimes import load_detector

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NO_ROWS = ("C3Ghost", "C3TR")  # blocks that the public yaml cannot describe with other widths inside


def architectures():
    """Return {names of yamls: model mapping}, small: yamls that only differ in their multiples and anchors are one."""
    found = {}
    for path in sorted([*ROOT.glob("models/*.yaml"), *ROOT.glob("models/hub/*.yaml")]):
        config = {**yaml.safe_load(path.read_text()), "nc": 2, "width_multiple": 0.125, "depth_multiple": 0.33}
        rows = json.dumps([config["backbone"], config["head"], config.get("activation")])
        names, _ = found.get(rows, ([], None))
        found[rows] = [*names, path.stem], config
    return {" ".join(names): config for names, config in found.values()}


ARCHITECTURES = architectures()


def run_exported(model, images, path, calibration=None):
    """Return the predictions of a DetectionModel's ONNX file, written to a path, on images [B, 3, H, W].

    calibration: None, or the arrays [1, 3, H, W] that it is quantized on.
    """
    metadata = describe_model(model, tuple(images.shape[2:]))
    path.write_bytes(onnx_bytes(onnx_graph(model, metadata, images=calibration), metadata))
    return load_detector(path)(images)


def test_the_whole_zoo_is_here():
    files = {path.stem for path in (ROOT / "models").rglob("*.yaml")}
    assert files == {name for names in ARCHITECTURES for name in names.split()} and len(files) >= 20


@pytest.mark.parametrize("names", ARCHITECTURES)
def test_a_pruned_network_gives_the_same_as_an_onnx_file_and_in_public_rows(names, make_lively, make_narrow, tmp_path):
    dense = make_lively(ARCHITECTURES[names])
    model = make_narrow(dense, 1)
    size = {name: tensor.shape for name, tensor in dense.state_dict().items()}
    assert sum(tensor.shape != size[name] for name, tensor in model.state_dict().items()) > 20  # it has been pruned
    images = comparison_images((model.size_multiple,) * 2, seed=5)[2:3]
    with torch.no_grad():
        expected = model(images)[0]
        assert expected.std(1).min() > 1e-3  # boxes differ, so that a mistake would show
        assert shortcomings(EXACT, deviation(expected, run_exported(model, images, tmp_path / "x.onnx"))) == []
        write_rknn(tmp_path / "y.onnx", model, describe_model(model, tuple(images.shape[2:])))
        assert shortcomings(EXACT, deviation(expected, load_detector(tmp_path / "y.onnx")(images))) == []
        try:
            _, stock = stock_network(model)
        except InputError as error:
            assert any(f"uneven widths in a {block}, " in str(error) for block in NO_ROWS)
            assert any(row[2] in NO_ROWS for row in [*dense.yaml["backbone"], *dense.yaml["head"]])
        else:
            assert shortcomings(EXACT, deviation(expected, stock(images)[0])) == []


@pytest.mark.parametrize("names", ARCHITECTURES)
def test_a_pruned_network_gives_the_same_in_ncnn(names, make_lively, make_narrow, tmp_path):
    pytest.importorskip("ncnn")
    pytest.importorskip("pnnx")
    model = make_narrow(make_lively(ARCHITECTURES[names]), 1)
    images = comparison_images((2 * model.size_multiple,) * 2, seed=5)[2:3]
    metadata = describe_model(model, tuple(images.shape[2:]))
    (tmp_path / "x.onnx").write_bytes(onnx_graph(model, metadata).SerializeToString())
    write_ncnn(tmp_path / "x.onnx", tmp_path / "x_ncnn_model", metadata)
    with torch.no_grad():
        expected = model(images)[0]
    assert shortcomings(EXACT, deviation(expected, load_detector(tmp_path / "x_ncnn_model")(images))) == []


@pytest.mark.parametrize("name", ["yolov5n", "yolov5s"])
def test_a_pruned_network_of_full_width_is_about_the_same_in_eight_bits(name, make_lively, make_narrow, tmp_path):
    config = yaml.safe_load((ROOT / f"models/{name}.yaml").read_text())
    model = make_narrow(make_lively({**config, "nc": 3}), 8)
    images = comparison_images((64, 64), seed=9)
    with torch.no_grad():
        expected = model(images[:1])[0]
    found = run_exported(model, images[:1], tmp_path / "x_int8.onnx", [image[None].numpy() for image in images])
    assert found.isfinite().all()
    assert shortcomings(INT8, deviation(expected, found, average=True)) == []
    assert deviation(expected, found).score > 1e-4  # it has been rounded
