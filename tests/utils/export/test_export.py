"""export.py: files that are the same detector, files that are not, and what bad input gives."""

import json
import sys

import pytest
import torch

from models.yolo import DetectionModel
from utils.errors import InputError
from utils.export import export as module
from utils.export.export import export, export_device, export_or_fail
from utils.export.onnx import onnx_graph
from utils.export.options import PACKAGES, ExportOptions
from utils.export.parity import FLOAT, HALF, Tolerance, comparison_images, deviation, shortcomings
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.runtimes.maps import Scales, decode_maps
from utils.runtimes.metadata import describe_model
from utils.runtimes.runtimes import TorchRuntime, load_detector

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def options(weights, *include, **others):
    """Return the options that export a file for images of 64 × 96."""
    return ExportOptions(**{"weights": str(weights), "include": list(include), "imgsz": [64, 96]} | others)


def files_beside(weights):
    return sorted(file.name for file in weights.parent.iterdir() if file.name != weights.name)


def difference(weights, path, shape=(64, 96)):
    images = comparison_images(shape, seed=5)
    return deviation(TorchRuntime(weights)(images), load_detector(path)(images))


@pytest.mark.parametrize(
    "settings",
    [{}, {"half": True}, {"batch_size": 3, "opset": 13}, {"opset": 11}, {"dynamic": True, "opset": 20}],
    ids=str,
)
def test_onnx_files_give_what_the_checkpoint_gives(weights, settings, capsys):
    (exported,) = export(options(weights, "onnx", **settings))
    name = "small_half.onnx" if settings.get("half") else "small.onnx"
    assert exported.path == weights.with_name(name) and not exported.broken
    assert files_beside(weights) == [name]
    found = difference(weights, exported.path)
    assert max(found.box, found.score) < (0.05 if settings.get("half") else 1e-3)
    said = capsys.readouterr().out
    assert "64x96" in said and "boxes differ by at most" in said


def test_an_onnx_file_says_what_the_public_export_says(weights):
    (exported,) = export(options(weights, "onnx"))
    model = onnx.load(str(exported.path))
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["stride"] == "32" and facts["imgsz"] == "[64, 96]" and facts["task"] == "detect"
    assert facts["names"] == "{0: 'circle', 1: 'square', 2: 'triangle'}"
    assert [entry.version for entry in model.opset_import if not entry.domain] == [17]
    ends = *model.graph.input, *model.graph.output
    sizes = [[side.dim_value for side in value.type.tensor_type.shape.dim] for value in ends]
    assert sizes == [[1, 3, 64, 96], [1, 3 * (8 * 12 + 4 * 6 + 2 * 3), 8]]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("images", "output0")
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


def test_half_files_take_half_the_space(weights):
    full = export(options(weights, "onnx"))[0].path.stat().st_size
    assert export(options(weights, "onnx", half=True))[0].path.stat().st_size < 0.62 * full


def test_graphs_for_tensorrt_compute_in_half_precision_between_float_ends(detector):
    metadata = describe_model(detector, (64, 96))
    graph = onnx_graph(detector, metadata, half=True)
    kinds = onnx.TensorProto
    assert [v.type.tensor_type.elem_type for v in (*graph.graph.input, *graph.graph.output)] == [kinds.FLOAT] * 2
    assert {t.data_type for t in graph.graph.initializer if len(t.dims) == 4} == {kinds.FLOAT16}
    images = comparison_images((64, 96), seed=5)[:1]
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    with torch.no_grad():
        assert shortcomings(HALF, deviation(detector(images)[0], found)) == []


def test_dynamic_files_take_any_size(weights):
    path = export(options(weights, "onnx", dynamic=True))[0].path
    assert load_detector(path).shape is None
    assert difference(weights, path, (128, 32)).box < 1e-3


@pytest.mark.parametrize("opset", [12, 17])
def test_suppression_inside_gives_the_detections_of_detect(weights, opset, capsys):
    from utils.boxes.geometry import non_max_suppression

    limits = {"conf_thres": 0.3, "iou_thres": 0.5, "max_det": 7, "opset": opset}
    (exported,) = export(options(weights, "onnx", nms=True, **limits))
    assert not exported.broken and "after suppression" in capsys.readouterr().out
    images = comparison_images((64, 96), seed=5)[:1]
    session = onnxruntime.InferenceSession(str(exported.path), providers=["CPUExecutionProvider"])
    (rows,) = session.run(None, {"images": images.numpy()})
    expected = non_max_suppression(TorchRuntime(weights)(images), 0.3, 0.5, multi_label=False, max_det=7)[0]
    assert rows.shape == (7, 7)
    assert torch.allclose(torch.from_numpy(rows[:, 1:]), expected, atol=0.01)
    again = non_max_suppression(load_detector(exported.path)(images), 0.3, 0.5, multi_label=False)[0]
    assert torch.allclose(again, expected, atol=0.01)


@pytest.mark.parametrize("dynamic", [False, True])
def test_torchscript_files_give_what_the_checkpoint_gives(weights, dynamic):
    (exported,) = export(options(weights, "torchscript", dynamic=dynamic))
    assert not exported.broken and files_beside(weights) == ["small.torchscript"]
    assert (load_detector(exported.path).shape is None) == dynamic
    assert difference(weights, exported.path).box < 1e-3


def test_openvino_folders_give_what_the_checkpoint_gives(weights):
    pytest.importorskip("openvino")
    for _ in range(2):  # the second replaces the first
        (exported,) = export(options(weights, "openvino"))
    assert files_beside(weights) == ["small_openvino_model"]
    assert difference(weights, exported.path).box < 1e-3


@pytest.mark.parametrize("opset", [12, 19])
def test_files_for_rknn_end_in_maps_that_give_what_the_checkpoint_gives(weights, opset, capsys):
    (exported,) = export(options(weights, "rknn", opset=opset))
    assert not exported.broken and "--activation nn.ReLU" in capsys.readouterr().err
    assert files_beside(weights) == ["small_rknn.json", "small_rknn.onnx", "small_rknn_anchors.txt"]
    model = onnx.load(str(exported.path))
    sizes = [[side.dim_value for side in value.type.tensor_type.shape.dim] for value in model.graph.output]
    assert sizes == [[1, 24, 8, 12], [1, 24, 4, 6], [1, 24, 2, 3]]
    assert [node.op_type for node in model.graph.node if node.output[0].startswith("output")] == ["Sigmoid"] * 3
    assert [entry.version for entry in model.opset_import if not entry.domain] == [opset]
    assert difference(weights, exported.path).box < 1e-3


def test_what_lies_beside_a_file_for_rknn_decodes_it(weights):
    (exported,) = export(options(weights, "rknn"))
    facts = json.loads(weights.with_name("small_rknn.json").read_text())
    assert facts["names"] == ["circle", "square", "triangle"] and facts["imgsz"] == [64, 96]
    numbers = list(map(float, weights.with_name("small_rknn_anchors.txt").read_text().split()))
    assert numbers == torch.tensor(facts["anchors"]).flatten().tolist() and numbers[:4] == [10, 13, 16, 30]
    images = comparison_images((64, 96), seed=5)[:1]
    session = onnxruntime.InferenceSession(str(exported.path), providers=["CPUExecutionProvider"])
    maps = session.run(None, {"images": images.numpy()})
    found = decode_maps(maps, Scales(facts["strides"], facts["anchors"]))
    assert shortcomings(FLOAT, deviation(TorchRuntime(weights)(images), torch.from_numpy(found))) == []


def test_a_network_with_relu_gets_no_advice_about_it(tiny_cfg, tmp_path, capsys):
    save_checkpoint(tmp_path / "relu.pt", finished_content(DetectionModel({**tiny_cfg, "activation": "nn.ReLU()"})))
    (exported,) = export(options(tmp_path / "relu.pt", "rknn"))
    assert not exported.broken and "ReLU" not in capsys.readouterr().err


@pytest.mark.parametrize("half", [False, True])
def test_ncnn_folders_give_what_the_checkpoint_gives(weights, half):
    pytest.importorskip("ncnn")
    pytest.importorskip("pnnx")
    (exported,) = export(options(weights, "ncnn", half=half))
    assert not exported.broken and files_beside(weights) == [f"small{'_half' * half}_ncnn_model"]
    assert sorted(file.name for file in exported.path.iterdir()) == [
        "metadata.yaml",
        "model.ncnn.bin",
        "model.ncnn.param",
    ]
    assert 0 < difference(weights, exported.path).box < (0.05 if half else 1e-3)
    weights_at_four_bytes = 4 * sum(p.numel() for p in load_detector(weights).model.parameters())
    assert (exported.path / "model.ncnn.bin").stat().st_size < (0.7 if half else 1.1) * weights_at_four_bytes


def test_with_data_the_map_is_part_of_the_comparison(weights, drawn_data, capsys):
    text = drawn_data.read_text().replace("blue", "circle").replace("green", "square").replace("red", "triangle")
    drawn_data.write_text(text)
    (exported,) = export(options(weights, "onnx", data=str(drawn_data), imgsz=[64]))
    assert not exported.broken and "mAP50-95 0." in capsys.readouterr().out


def test_another_detector_fails_loudly_and_the_earlier_file_stays(weights, monkeypatch, capsys):
    export(options(weights, "onnx"))
    before = weights.with_suffix(".onnx").read_bytes()
    monkeypatch.setattr(module, "FLOAT", Tolerance(0.0, -1.0, 0.0))
    with pytest.raises(SystemExit) as stop:
        export_or_fail(options(weights, "onnx", "torchscript"))
    assert stop.value.code == 1
    assert files_beside(weights) == ["small.onnx", "small.onnx.failed", "small.torchscript.failed"]
    assert weights.with_suffix(".onnx").read_bytes() == before
    assert "FAILED: small.onnx is not the same detector as small.pt: " in capsys.readouterr().err


def test_sizes_off_the_stride_are_rounded_and_said(weights, capsys):
    (exported,) = export(options(weights, "onnx", imgsz=[60, 70]))
    assert load_detector(exported.path).shape == (64, 96)
    assert "--imgsz 60: not a multiple of the stride 32; 64 is used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("include", "settings", "expected"),
    [
        (["onnx"], {"int8": True}, ["--int8", "--data"]),
        (["onnx"], {"int8": True, "half": True, "data": "x.yaml"}, ["--int8 and --half"]),
        (["torchscript"], {"int8": True, "data": "x.yaml"}, ["--int8", "no effect"]),
        (["torchscript"], {"nms": True}, ["--nms", "no effect"]),
        (["torchscript"], {"half": True}, ["--half", "--device 0"]),
        (["engine"], {"dynamic": True}, ["--include engine", "--dynamic"]),
        (["ncnn"], {"int8": True, "data": "x.yaml"}, ["--int8", "no effect"]),
        (["onnx", "ncnn"], {"int8": True, "data": "x.yaml"}, ["--include ncnn", "--int8"]),
        (["ncnn"], {"batch_size": 2}, ["--batch-size 2", "one image"]),
        (["rknn"], {"batch_size": 2}, ["--batch-size 2", "rknn", "one image"]),
        (["tflite"], {"batch_size": 2}, ["--batch-size 2", "tflite", "one image"]),
        (["tflite"], {"half": True}, ["--include tflite", "--half"]),
        (["tflite"], {"dynamic": True}, ["--include tflite", "--dynamic"]),
        (["rknn"], {"half": True}, ["--include rknn --half", "leave --half out"]),
        (["rknn"], {"dynamic": True}, ["--include rknn", "--dynamic"]),
        (["rknn"], {"opset": 11}, ["--opset 11", "12 to 19"]),
        (["rknn"], {"opset": 20}, ["--opset 20", "12 to 19"]),
        (["onnx"], {"int8": True, "data": "x.yaml", "opset": 12}, ["--opset 12 --int8", "13"]),
        (["torchscript"], {"device": "99"}, ["--device 99"]),
        (["onnx"], {"imgsz": [32, 32, 32]}, ["--imgsz", "height and width"]),
        (["onnx"], {"data": "nowhere.yaml"}, ["nowhere.yaml"]),
    ],
)
def test_bad_options_are_one_line(weights, include, settings, expected):
    with pytest.raises(InputError) as error:
        export(options(weights, *include, **settings))
    assert all(word in str(error.value) for word in expected) and "\n" not in str(error.value)
    assert files_beside(weights) == []


def test_an_engine_needs_a_gpu():
    with pytest.raises(InputError, match="--include engine: .*--device 0"):
        export_device(ExportOptions(include=["engine"]))


def test_a_folder_that_cannot_be_written_is_said_before_any_work(monkeypatch, capsys, tmp_path):
    """Reading the checkpoint would be the first work; there is none to read."""
    (tmp_path / "file").write_bytes(b"")
    weights = tmp_path / "file" / "small.pt"
    monkeypatch.setattr(module, "find_weights", lambda name: weights)
    with pytest.raises((InputError, OSError), match="file"):
        export(options(weights, "torchscript"))


@pytest.mark.parametrize(
    ("include", "module"),
    [
        ("onnx", "onnx"),
        ("onnx", "onnxruntime"),
        ("openvino", "openvino"),
        ("ncnn", "pnnx"),
        ("ncnn", "ncnn"),
        ("engine", "tensorrt"),
        ("tflite", "litert_torch"),
        ("tflite", "ai_edge_litert"),
    ],
)
def test_a_missing_package_is_named_with_its_command_before_anything_is_written(weights, monkeypatch, include, module):
    for optional in ("openvino", "pnnx", "litert_torch"):  # whether they are there or not
        monkeypatch.setitem(sys.modules, optional, sys.modules.get(optional, sys))
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(InputError, match=f"--include {include}: needs .* {module}; pip install {module}"):
        export(options(weights, "torchscript", include))
    assert files_beside(weights) == []


@pytest.mark.parametrize("format", ["onnx", "torchscript", "openvino", "ncnn", "rknn", "yolov5"])
def test_a_full_disk_leaves_the_file_that_was_there(weights, format, on_full_disk):
    for package in PACKAGES[format]:
        pytest.importorskip(package)
    names = {"openvino": "small_openvino_model", "ncnn": "small_ncnn_model"}
    names |= {"rknn": "small_rknn.onnx", "yolov5": "small_yolov5.pt"}
    earlier = weights.with_name(names.get(format, f"small.{format}"))
    earlier.write_bytes(b"earlier")
    before = files_beside(weights)
    code, said = on_full_disk(lambda: export(options(weights, format)))
    assert code == 2 and said.count("\n") == 1 and "cannot be written" in said, said
    assert files_beside(weights) == before and earlier.read_bytes() == b"earlier"


def test_other_classes_than_the_data_has_are_named(weights, drawn_data):
    with pytest.raises(InputError, match="class 0 is 'blue', but the model calls it 'circle'"):
        export(options(weights, "onnx", data=str(drawn_data)))
    assert "small.onnx" not in files_beside(weights)
