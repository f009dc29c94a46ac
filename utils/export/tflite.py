"""TensorFlow Lite files, made by litert-torch; in eight bits by ai-edge-quantizer, which comes with it.

The layout is that of the public export: one image [1, H, W, 3], RGB from 0 to 1, gives [1, N, 5 + nc], whose boxes are
shares of the image's sides. In eight bits, Detect and the output stay in float: scores from 0 to 1 and boxes in one
tensor, with one scale for both, would lose the scores.
"""

import io
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.yolo import DetectionModel
from utils.errors import InputError
from utils.export.head import ExportHead, export_network
from utils.export.int8 import quiet
from utils.progress import track
from utils.runtimes.metadata import Metadata
from utils.runtimes.packages import need

KEPT = f"{ExportHead.__name__}|output_0"  # in the names of tensors whose operations stay in float
TAIL = 1e-5  # share of a map's values that the range in eight bits may leave out at either end
SIGNATURE, INPUT = "serving_default", "args_0"  # names that litert-torch gives the network and its input
FACTS = "metadata.txt"  # in the archive behind the network; the public code reads its first file, whatever its name


class PixelsLast(nn.Module):
    """A network for images [1, H, W, 3] whose boxes are shares of the image's sides."""

    def __init__(self, network: DetectionModel, shape: tuple[int, int]) -> None:
        """network: what export_network gives; shape: (height, width) of the images in pixels."""
        super().__init__()
        height, width = shape
        self.network = network
        sides = torch.tensor([width, height, width, height] + [1] * (network.model[-1].no - 4))
        self.register_buffer("shares", 1 / sides)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [1, H, W, 3] to predictions [1, N, 5 + nc]."""
        return self.network(images.permute(0, 3, 1, 2)) * self.shares


def write_tflite(
    path: Path, model: DetectionModel, metadata: Metadata, images: Sequence[np.ndarray] | None = None
) -> None:
    """Write a DetectionModel as a .tflite file for one image of fixed size.

    images: None, or list of float32 arrays [1, 3, H, W]: quantize to eight bits, calibrated on them.

    Raises InputError when litert-torch is not installed or cannot convert the network.
    """
    litert = need("litert_torch", "--include tflite")
    network = PixelsLast(export_network(model, metadata.imgsz), metadata.imgsz).eval()
    with quiet(), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.no_grad():
                litert.convert(network, (torch.zeros(1, *metadata.imgsz, 3),)).export(str(path))
        except Exception as error:  # noqa: BLE001 the converter has errors of many kinds
            said = " ".join(str(error).split())[:200]
            raise InputError(f"--include tflite: litert-torch cannot convert this network ({said})") from None
    if images:
        path.write_bytes(quantize(path, images))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(FACTS, str(metadata.strings()))


def quantize(path: Path, images: Sequence[np.ndarray]) -> bytes:
    """Return a float .tflite file in eight bits: weights with a scale for each channel, maps with one each.

    images: list of float32 arrays [1, 3, H, W] to calibrate on.
    """
    tools = need("ai_edge_quantizer", "--include tflite --int8")
    quantizer, every = tools.quantizer.Quantizer(str(path)), tools.qtyping.TFLOperationName.ALL_SUPPORTED
    quantizer.add_static_config(".*", every, activation_num_bits=8, weight_num_bits=8)
    quantizer.update_quantization_recipe(KEPT, every, algorithm_key=tools.quantizer.AlgorithmName.NO_QUANTIZE)
    with quiet(), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all maps takes memory
        ranges = quantizer.calibrate({SIGNATURE: [{INPUT: images[0].transpose(0, 2, 3, 1)}]}, num_threads=1)
    maps = {name: found for name, found in map_ranges(path, images).items() if name in ranges}
    with quiet(), redirect_stderr(io.StringIO()):
        return bytes(quantizer.quantize(ranges | maps, enable_progress_report=False).quantized_model)


def map_ranges(path: Path, images: Sequence[np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return {name of a float tensor in a .tflite file: its range, as the quantizer wants it}.

    The range is the widest over the images [1, 3, H, W], without TAIL of the values of each at either end.
    """
    litert = need("ai_edge_litert.interpreter", "--include tflite --int8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all maps takes memory
        interpreter = litert.Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    run, found = interpreter.get_signature_runner(SIGNATURE), defaultdict(list)
    details = [detail for detail in interpreter.get_tensor_details() if detail["dtype"] == np.float32]
    for image in track(images, "calibrating"):
        run(**{INPUT: image.transpose(0, 2, 3, 1)})
        for detail in details:
            found[detail["name"]].append(range_of(interpreter.get_tensor(detail["index"])))
    return {name: {"min": np.min(ends, 0)[0], "max": np.max(ends, 0)[1]} for name, ends in found.items()}


def range_of(values: np.ndarray) -> np.ndarray:
    """Return [2, 1, …, 1]: between these two lie all values but TAIL at either end."""
    last = values.size - 1
    left_out = int(TAIL * last)
    ordered = np.partition(values, (left_out, last - left_out), axis=None)
    return ordered[[left_out, last - left_out]].reshape(2, *[1] * values.ndim)
