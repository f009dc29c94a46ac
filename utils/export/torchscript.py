"""TorchScript files: the traced network, and a config.txt inside as the public export writes it."""

import io
import json
import warnings

import torch

from models.yolo import DetectionModel
from utils.export.head import export_network
from utils.runtimes.metadata import Metadata


def torchscript_bytes(
    model: DetectionModel,
    metadata: Metadata,
    *,
    dynamic: bool = False,
    half: bool = False,
    device: str | torch.device = "cpu",
) -> bytes:
    """Return a DetectionModel as the bytes of a TorchScript file: images [B, 3, H, W] → predictions [B, N, 5 + nc].

    Args:
        metadata: Metadata; its batch and imgsz are the sizes in the file.
        dynamic: leave batch, height and width open.
        half: compute in FP16.
        device: where it is traced; in FP16 that must be a GPU.
    """
    network = export_network(model, None if dynamic else metadata.imgsz, half).to(device)
    dtype = torch.float16 if half else torch.float32
    images = torch.zeros(metadata.batch, 3, *metadata.imgsz, device=device, dtype=dtype)
    config = {"shape": list(images.shape), "stride": metadata.stride, "names": metadata.names}
    config |= {"parameters": metadata.parameters, "gflops": metadata.gflops, "dynamic": dynamic, "half": half}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shapes are meant to become constants; a successor is announced on every use
        traced = torch.jit.trace(network, images, strict=False, check_trace=False)  # every export is verified
        torch.jit.save(traced, buffer, _extra_files={"config.txt": json.dumps(config)})
    return buffer.getvalue()
