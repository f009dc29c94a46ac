"""What Rockchip's RKNN toolkit turns into a file for its NPUs: an ONNX graph that ends before boxes are decoded."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from torch import nn

from models.yolo import DetectionModel
from utils.export.onnx import onnx_bytes, onnx_graph
from utils.export.options import OPSET
from utils.runtimes.maps import Scales
from utils.runtimes.metadata import Metadata

SLOW = "the network uses SiLU; Rockchip advises ReLU for its NPUs: train with --activation nn.ReLU"


def write_rknn(
    path: Path, model: DetectionModel, metadata: Metadata, opset: int = OPSET, simplify: bool = False
) -> None:
    """Write path.onnx for one image of fixed size, and beside it path.json and path_anchors.txt.

    The outputs are the maps [1, na·(5 + nc), ny, nx] behind the sigmoid. The .json holds what utils.runtimes.maps needs
    to decode them. The .txt holds the anchors in pixels, a number a line, as the examples of rknn_model_zoo read them.
    """
    detect = model.model[-1]
    anchors = (detect.anchors.float() * detect.stride.view(-1, 1, 1)).tolist()
    scales = Scales([float(stride) for stride in detect.stride], anchors)
    graph = onnx_graph(model, metadata, simplify=simplify, opset=opset, maps=True)
    path.write_bytes(onnx_bytes(graph, replace(metadata, scales=scales)))
    facts = {"names": list(metadata.names.values()), "imgsz": list(metadata.imgsz)}
    facts |= {"strides": scales.strides, "anchors": scales.anchors}
    path.with_suffix(".json").write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
    numbers = [number for scale in anchors for size in scale for number in size]
    path.with_name(f"{path.stem}_anchors.txt").write_text("".join(f"{number:g}\n" for number in numbers))
    if any(isinstance(module, nn.SiLU) for module in model.modules()):
        print(f"rknn: {SLOW}", file=sys.stderr)
