"""A detector as something to call over and over on one image: to the end, in FP16, as one CUDA graph."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from utils.benchmark.latency import WARM_UP, pytorch_call
from utils.runtimes.interface import Runtime
from utils.runtimes.runtimes import TorchRuntime


@dataclass(frozen=True)
class Form:
    """How a file runs."""

    half: bool = False  # in FP16
    graph: bool = False  # all of its kernels launched at once, as a CUDA graph

    def label(self, runtime: Runtime) -> str:
        """Return what tables call a runtime in this form."""
        words = ["half"] * self.half + ["graph"] * self.graph
        return f"{runtime.label} {', '.join(words)}".strip()


def forms(runtime: Runtime, half: bool = False) -> list[Form]:
    """Return the Forms that a runtime is measured in: PyTorch on a GPU also with a CUDA graph, and in FP16 if asked."""
    if not isinstance(runtime, TorchRuntime) or runtime.device.type != "cuda":
        return [Form()]
    return [Form(precision, graph) for precision in ((False, True) if half else (False,)) for graph in (False, True)]


def single_call(
    runtime: Runtime, image: torch.Tensor, graph: bool = False, cuda: Any = torch.cuda
) -> Callable[[], torch.Tensor]:
    """Return a callable that runs a runtime on an image [1, 3, H, W], to the end.

    graph: as a CUDA graph; cuda: the module that GPUs are reached by.
    """
    call = pytorch_call(runtime, image) if isinstance(runtime, TorchRuntime) else partial(runtime.infer, image)
    if runtime.device.type != "cuda":
        return call
    call = Replay(call, runtime.device, cuda) if graph else call

    def finished() -> torch.Tensor:
        """Run it and wait for the GPU."""
        output = call()
        cuda.synchronize(runtime.device)
        return output

    return finished


class Replay:
    """A call on a GPU, recorded once and replayed as a CUDA graph: every replay fills the same output.

    The call must always read the same memory and never wait for the GPU.
    """

    def __init__(self, call: Callable[[], torch.Tensor], device: torch.device, cuda: Any = torch.cuda) -> None:
        """call: what to record; it runs a few times before, beside the default stream, as recording demands."""
        self.call, self.graph = call, cuda.CUDAGraph()  # the call stays: the graph works on its weights and its image
        with cuda.device(device):
            stream = cuda.Stream()
            stream.wait_stream(cuda.current_stream())
            with cuda.stream(stream):
                for _ in range(WARM_UP):
                    call()
            cuda.current_stream().wait_stream(stream)
            with cuda.graph(self.graph):
                self.output = call()

    def __call__(self) -> torch.Tensor:
        """Start a replay; return the output, which is filled when the GPU is done."""
        self.graph.replay()
        return self.output
