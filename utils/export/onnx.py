"""ONNX files: the graph, the form of its weights, suppression inside it, and what it says about itself."""

import tempfile
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.export.head import export_network
from utils.export.int8 import quantize_graph
from utils.export.options import OPSET
from utils.runtimes.metadata import Metadata
from utils.runtimes.packages import need

INPUT, OUTPUT = "images", "output0"  # names that the public export gives them
SMALL = 1024  # numbers; below that FP16 saves no space worth a cast
DYNAMIC_AXES = {INPUT: {0: "batch", 2: "height", 3: "width"}, OUTPUT: {0: "batch", 1: "anchors"}}

# Best class of each box, then suppression with the classes moved apart, as non_max_suppression in utils.boxes does it.
SUPPRESSION = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
suppression (float[batch, anchors, columns] {source}) => (float[found, 7] detections)
<int64[4] parts = {{2, 2, 1, {nc}}}, float half = {{0.5}}, float one = {{1.0}}, int64[2] image_and_box = {{0, 2}},
 int64 keep = {{{max_det}}}, float iou = {{{iou}}}, float conf = {{{conf}}},
 int64[1] single = {{1}}, int64[2] halves = {{1, 1}}>
{{
    centre, size, objectness, classes = {split_columns}
    best, index = TopK <axis = 2> (classes, single)
    score = Mul (best, objectness)
    label = Cast <to = 1> (index)
    reach = Mul (size, half)
    low = Sub (centre, reach)
    high = Add (centre, reach)
    corners = Concat <axis = 2> (low, high)
    top = ReduceMax <keepdims = 0> (corners)
    bottom = ReduceMin <keepdims = 0> (corners)
    width = Sub (top, bottom)
    step = Add (width, one)
    shift = Mul (label, step)
    moved = Add (corners, shift)
    scores = Transpose <perm = [0, 2, 1]> (score)
    chosen = NonMaxSuppression (moved, scores, keep, iou, conf)
    where = Gather <axis = 1> (chosen, image_and_box)
    image, box = {split_places}
    picture = Cast <to = 1> (image)
    all = Concat <axis = 2> (corners, score, label)
    rows = GatherND (all, where)
    detections = Concat <axis = 1> (picture, rows)
}}
"""


def onnx_graph(
    model: DetectionModel,
    metadata: Metadata,
    *,
    dynamic: bool = False,
    simplify: bool = False,
    opset: int = OPSET,
    images: Sequence[np.ndarray] | None = None,
    half: bool = False,
    maps: bool = False,
) -> Any:
    """Return a DetectionModel as ModelProto: `images` float32 [B, 3, H, W] → `output0` float32 [B, N, 5 + nc].

    Args:
        metadata: Metadata; its batch and imgsz are the sizes in the graph.
        dynamic: leave batch, height and width open.
        simplify: let onnxslim shorten the graph.
        images: None, or list of float32 arrays [B, 3, H, W]: quantize to eight bits, calibrated on them.
        half: compute in FP16, except for the decoding of boxes; input and output stay float32.
        maps: end before boxes are decoded; `output0`, `output1`, … are what MapHead gives, one a scale.

    Raises InputError when a package is missing.
    """
    onnx = need("onnx", "--include onnx")
    slim = need("onnxslim", "--simplify") if simplify else None
    shape = None if dynamic else metadata.imgsz
    outputs = [f"output{i}" for i in range(model.model[-1].nl)] if maps else [OUTPUT]
    graph = trace(onnx, export_network(model, shape, half, maps), metadata, dynamic, opset, outputs)
    if slim:
        graph = slim.slim(graph)
    return quantize_graph(graph, images, model.model[-1].i) if images else graph


def onnx_bytes(
    graph: Any, metadata: Metadata, *, half: bool = False, nms: tuple[float, float, int] | None = None
) -> bytes:
    """Return the graph of `onnx_graph` as the bytes of a file.

    Args:
        half: store large tensors in FP16; runtimes on CPUs widen them when they load the file.
        nms: None, or (confidence, IoU, most detections an image): the output is `detections` [n, 7] then: image, x1,
            y1, x2, y2, score, class.
    """
    onnx = need("onnx", "--include onnx")
    graph = with_suppression(onnx, graph, metadata, *nms) if nms else deepcopy(graph)
    if half:
        halve_weights(onnx, graph)
    shorten_names(graph.graph)
    onnx.helper.set_model_props(graph, replace(metadata, nms=bool(nms)).strings())
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def trace(
    onnx: ModuleType, network: DetectionModel, metadata: Metadata, dynamic: bool, opset: int, outputs: list[str]
) -> Any:
    """Return the ModelProto of what export_network gives; outputs: the names of its outputs.

    The exporter that follows the traced calls is used: it needs no further package and writes one node an operation.
    """
    images = torch.zeros(metadata.batch, 3, *metadata.imgsz)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that shapes become constants is what is wanted
        file = Path(folder) / "graph.onnx"
        torch.onnx.export(
            network,
            (images,),
            str(file),
            dynamo=False,
            opset_version=opset,
            input_names=[INPUT],
            output_names=outputs,
            dynamic_axes=DYNAMIC_AXES if dynamic else None,
        )
        return onnx.load(str(file))


def with_suppression(onnx: ModuleType, graph: Any, metadata: Metadata, conf: float, iou: float, max_det: int) -> Any:
    """Return a graph followed by non-maximum suppression: see SUPPRESSION."""
    opset = next(entry.version for entry in graph.opset_import if not entry.domain)
    sizes = {"nc": len(metadata.names), "conf": conf, "iou": iou, "max_det": max_det}
    form = "Split <axis = {0}, split = [{2}]> ({1})" if opset < 13 else "Split <axis = {0}> ({1}, {3})"
    splits = {
        "split_columns": form.format(2, OUTPUT, f"2, 2, 1, {len(metadata.names)}", "parts"),
        "split_places": form.format(1, "where", "1, 1", "halves"),
    }
    text = SUPPRESSION.format(ir=graph.ir_version, opset=opset, source=OUTPUT, **sizes, **splits)
    return onnx.compose.merge_models(graph, onnx.parser.parse_model(text), io_map=[(OUTPUT, OUTPUT)])


def halve_weights(onnx: ModuleType, graph: Any) -> None:
    """Store the large float32 tensors of a graph in FP16, each followed by a cast to float32; in place."""
    casts = []
    for tensor in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == "float32" and values.ndim > 1 and values.size >= SMALL:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype("float16"), f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def shorten_names(graph: Any) -> None:
    """Rename the values inside a graph to v0, v1, … and drop the nodes' names, a tenth of a small file; in place."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    short: dict[str, str] = {}
    for node in graph.node:
        node.ClearField("name")
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name and name not in kept:
                    names[i] = short.setdefault(name, f"v{len(short)}")
    for tensor in graph.initializer:
        tensor.name = short.get(tensor.name, tensor.name)
    del graph.value_info[:]  # shapes that every runtime infers anew
