"""OpenVINO folders, made from an ONNX file: x.xml, x.bin and metadata.yaml."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.export.int8 import quiet
from utils.runtimes.metadata import Metadata, write_facts
from utils.runtimes.packages import need


def write_openvino(
    onnx_file: Path,
    folder: Path,
    stem: str,
    metadata: Metadata,
    *,
    half: bool = False,
    images: Sequence[np.ndarray] | None = None,
    detect: int | None = None,
) -> None:
    """Write folder/stem.xml, stem.bin and metadata.yaml from an ONNX file.

    Args:
        half: store the weights in FP16; the computing type is chosen when the file is loaded.
        images: None, or list of float32 arrays [B, 3, H, W]: quantize to eight bits with NNCF, calibrated on them.
        detect: index of the Detect layer, which stays in float then.

    Raises InputError when OpenVINO or NNCF is not installed.
    """
    openvino = need("openvino", "--include openvino")
    model = openvino.convert_model(str(onnx_file))
    if images:
        with quiet():
            nncf = need("nncf", "--include openvino --int8")
            model = nncf.quantize(
                model,
                nncf.Dataset(images),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(images),
                ignored_scope=nncf.IgnoredScope(patterns=[f"/model.{detect}/.*"]),
            )
    folder.mkdir()
    openvino.save_model(model, str(folder / f"{stem}.xml"), compress_to_fp16=half)
    write_facts(metadata, folder)
