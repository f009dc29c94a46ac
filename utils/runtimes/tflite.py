"""TensorFlow Lite files in LiteRT's interpreter, also those of the public export.

One image of fixed size goes in, pixels last; boxes come out as shares of the image's sides, in one tensor with scores.
"""

import ast
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import limits
from utils.errors import InputError
from utils.runtimes.interface import Runtime
from utils.runtimes.metadata import read_cost, read_names_and_stride
from utils.runtimes.packages import need


class TfliteRuntime(Runtime):
    """A .tflite file on the CPU, in float or with a quantized input and output."""

    label = "LiteRT"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """threads: computing threads; None: LiteRT's own choice, which is one."""
        litert = need("ai_edge_litert.interpreter", str(path))
        facts = read_facts(path)
        names, stride = read_names_and_stride(facts, path)
        try:
            self.interpreter = litert.Interpreter(model_content=path.read_bytes(), num_threads=threads)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: not a readable TFLite file ({reason[:200]})") from None
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        shapes = [[int(size) for size in detail["shape"]] for detail in (*inputs, *outputs)]
        if len(inputs) != 1 or len(outputs) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
            found = f"{len(inputs)} inputs and {len(outputs)} outputs, of {', '.join(map(str, shapes))}"
            raise InputError(f"{path}: has {found}; must be one input, images [B, H, W, 3], and one output")
        (batch, height, width, _), columns = shapes
        super().__init__(path, names, stride, (height, width), batch)
        self.input, self.output, self.cost = inputs[0], outputs[0], read_cost(facts)
        self.check_columns(columns)
        self.sides = torch.tensor([width, height, width, height, *[1] * (1 + self.nc)], dtype=torch.float32)

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output [B, N, 5 + nc]."""
        pixels = images.cpu().float().permute(0, 2, 3, 1).numpy()
        self.interpreter.set_tensor(self.input["index"], quantized(pixels, self.input))
        self.interpreter.invoke()
        output = self.interpreter.get_tensor(self.output["index"])
        return torch.from_numpy(dequantized(output, self.output)) * self.sides


def read_facts(path: Path) -> dict[str, Any]:
    """Return the metadata of a .tflite file: a dict as Python writes it, in the archive that stands behind the network.

    Empty when there is none. Raises InputError when it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.infolist()[0]
            text = archive.read(entry) if entry.file_size <= limits.TEXT_BYTES else b""
        return dict(ast.literal_eval(text.decode()))
    except Exception:  # noqa: BLE001 an archive can be broken, and a text spell, in many ways
        raise InputError(f"{path}: metadata are unreadable; must be exported by export.py") from None


def quantized(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Return float32 values as the integers that a tensor with this detail takes; as they are when it takes floats."""
    scale, zero = detail["quantization"]
    if not scale:
        return values
    limit = np.iinfo(detail["dtype"])
    return (values / scale + zero).round().clip(limit.min, limit.max).astype(detail["dtype"])


def dequantized(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Return what the values of a tensor with this detail stand for, as float32."""
    scale, zero = detail["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values
