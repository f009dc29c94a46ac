"""TensorRT engines, built from an ONNX file on the GPU that they will run on."""

from pathlib import Path

import torch

from utils.errors import InputError
from utils.runtimes.interface import Runtime
from utils.runtimes.metadata import Metadata
from utils.runtimes.packages import need

WHAT = "--include engine"


def engine_bytes(onnx_file: Path, workspace: int = 4) -> bytes:
    """Return the bytes of a TensorRT engine made from an ONNX file of fixed size, in whose types it computes.

    workspace: memory for building in GB. Raises InputError when TensorRT is missing or cannot build the network.
    """
    trt = need("tensorrt", WHAT)
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # Version 11 knows no other networks; version 10 would choose the types itself.
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx_file)):
        raise InputError(f"{onnx_file}: TensorRT cannot read it: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace << 30)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise InputError(f"{onnx_file}: TensorRT could not build an engine; its messages above say why")
    return bytes(engine)


class EngineRuntime(Runtime):
    """An engine on the GPU. The file does not tell names and stride, so its Metadata is given."""

    label = "TensorRT"

    def __init__(self, path: Path, metadata: Metadata, device: torch.device) -> None:
        trt = need("tensorrt", WHAT)
        super().__init__(path, metadata.names, metadata.stride, metadata.imgsz, metadata.batch, device)
        self.engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(path.read_bytes())
        self.context = self.engine.create_execution_context()
        self.input, self.output = (self.engine.get_tensor_name(i) for i in range(2))

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output [B, N, 5 + nc]."""
        images = images.to(self.device).float().contiguous()
        output = torch.empty(tuple(self.engine.get_tensor_shape(self.output)), device=self.device)
        self.context.set_tensor_address(self.input, images.data_ptr())
        self.context.set_tensor_address(self.output, output.data_ptr())
        stream = torch.cuda.current_stream(self.device)
        self.context.execute_async_v3(stream.cuda_stream)
        stream.synchronize()
        return output
