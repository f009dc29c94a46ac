"""Eight-bit ONNX files: static quantization with ONNX Runtime, calibrated on training images.

Weights get a scale for each output channel, activations one for each tensor, from the range that all but 1 in 100,000
of their values lie in. Of percentiles, entropy and extremes that costs the least mAP; docs/DEPLOY.md has the numbers.
Detect stays in float32: its outputs span a range in which eight bits are too coarse for boxes.
"""

import io
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.config import DataConfig
from utils.data.dataset import DetectionDataset
from utils.data.splits import load_split
from utils.errors import InputError
from utils.export.int8_packing import Packer
from utils.progress import track
from utils.runtimes.packages import need

PERCENTILE = 99.999
QUANTIZED = ("Conv", "Sigmoid", "Mul", "Relu", "Clip", "LeakyRelu", "Add", "Concat", "MaxPool", "Resize")
IMAGES = 32  # more change the ranges little


def calibration_images(
    config: DataConfig, shape: tuple[int, int], count: int = IMAGES, seed: int = 0
) -> list[np.ndarray]:
    """Return float32 arrays [1, 3, H, W] from 0 to 1: training images of a DataConfig, letterboxed, drawn from a seed.

    shape: (height, width) in pixels. Raises InputError when the split has no usable images.
    """
    samples, _ = load_split(config, "train")
    dataset = DetectionDataset(samples, max(shape), shape=shape)
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    return [dataset[int(index)][0][None].numpy().astype(np.float32) / 255 for index in chosen]


def quantize_graph(graph: Any, images: Sequence[np.ndarray], detect: int) -> Any:
    """Return a quantized copy (ModelProto) of a graph whose weights are float32.

    Args:
        graph: ModelProto with the input `images`.
        images: list of float32 arrays [B, 3, H, W] to calibrate on.
        detect: index of the Detect layer, which stays in float.

    Raises InputError when ONNX Runtime is not installed, and as `activation_ranges` does.
    """
    onnx, tools = need("onnx", "--int8"), need("onnxruntime.quantization", "--int8")
    shapes = need("onnxruntime.quantization.shape_inference", "--int8")
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared = str(Path(folder) / "prepared.onnx")
        shapes.quant_pre_process(graph, prepared, skip_symbolic_shape=True)
        ranges = activation_ranges(tools, prepared, str(Path(folder) / "calibration.onnx"), images)
        graph = onnx.load(prepared)
        share_ranges(graph.graph, ranges)
        kept = [node.name for node in graph.graph.node if node.name.startswith(f"/model.{detect}/")]
        quantizer = tools.qdq_quantizer.QDQQuantizer(
            graph,
            per_channel=True,
            reduce_range=False,
            weight_qType=tools.QuantType.QInt8,
            activation_qType=tools.QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=kept,
            op_types_to_quantize=list(QUANTIZED),
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        Packer(quantizer.model.model).pack()
        return quantizer.model.model


def activation_ranges(tools: Any, file: str, scratch: str, images: Sequence[np.ndarray]) -> Any:
    """Return the ranges of a graph's activations; `scratch` is a path for a copy that also returns them.

    Raises InputError when a layer gives all but the same number everywhere.
    """
    calibrator = tools.calibrate.create_calibrator(
        file, QUANTIZED, scratch, tools.CalibrationMethod.Percentile, extra_options={"percentile": PERCENTILE}
    )
    calibrator.set_execution_providers(["CPUExecutionProvider"])
    try:
        for image in track(images, "calibrating"):  # one by one: a call's maps are all kept
            calibrator.collect_data(Once(image))
    except ValueError as error:  # its histogram has no room between smallest and largest
        reason = f"a layer gives almost one number everywhere on the images of --data ({error})"
        raise InputError(f"--int8: cannot calibrate, {reason}; must be a trained network") from None
    return calibrator.compute_data()


def share_ranges(graph: Any, ranges: Any) -> None:
    """Give maps that only a Concat reads the range of what it joins, in place: they are rounded once, and just copied.

    graph: GraphProto; ranges: those of `activation_ranges`.
    """
    readers = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        for name in node.input if node.op_type == "Concat" else ():
            if readers[name] == 1 and node.output[0] in ranges:
                ranges[name] = ranges[node.output[0]]


class Once:
    """A calibration reader of one batch."""

    def __init__(self, images: np.ndarray) -> None:
        self.feeds = [{"images": images}]

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the inputs, then None."""
        return self.feeds.pop() if self.feeds else None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what the calibrator logs and prints."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
