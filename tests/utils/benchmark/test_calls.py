"""The forms in which a file is timed; GPUs are played by a list of what was asked of them."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from utils.benchmark.calls import Form, Replay, forms, single_call
from utils.benchmark.latency import WARM_UP, noise
from utils.runtimes.interface import Runtime
from utils.runtimes.runtimes import TorchRuntime, load_detector

GPU = torch.device("cuda:0")


class FakeGpu:
    """Has the names of torch.cuda that recording needs; notes what happens in `log`."""

    def __init__(self):
        self.log = []
        self.CUDAGraph = lambda: SimpleNamespace(replay=lambda: self.log.append("replay"))
        self.main = SimpleNamespace(wait_stream=lambda stream: self.log.append("main waits"))

    @contextmanager
    def inside(self, name):
        self.log.append(name)
        yield
        self.log.append(f"{name} ends")

    def device(self, device):
        return self.inside(f"on {device}")

    def stream(self, stream):
        return self.inside("beside")

    def graph(self, graph):
        return self.inside("record")

    def Stream(self):  # the name that torch.cuda gives it
        return SimpleNamespace(wait_stream=lambda stream: self.log.append("side waits"))

    def current_stream(self):
        return self.main

    def synchronize(self, device):
        self.log.append(f"finish {device}")


@pytest.fixture
def gpu():
    return FakeGpu()


@pytest.fixture
def on_gpu(detector):
    """Return a runtime that believes to be on a GPU, its network on the CPU."""
    runtime = TorchRuntime("x.pt", model=detector)
    runtime.device = GPU
    return runtime


def test_only_pytorch_on_a_gpu_has_more_than_one_form(detector, on_gpu):
    assert forms(TorchRuntime("x.pt", model=detector), half=True) == [Form()]
    assert forms(Runtime("x.onnx", {0: "a"}, 32, device=GPU), half=True) == [Form()]
    assert forms(on_gpu) == [Form(), Form(graph=True)]
    labels = [form.label(on_gpu) for form in forms(on_gpu, half=True)]
    assert labels == ["PyTorch", "PyTorch graph", "PyTorch half", "PyTorch half, graph"]


def test_a_graph_is_warmed_up_beside_recorded_once_and_replayed(gpu):
    replay = Replay(lambda: gpu.log.append("run") or "output", GPU, gpu)
    assert gpu.log == [
        "on cuda:0",
        "side waits",
        "beside",
        *["run"] * WARM_UP,
        "beside ends",
        "main waits",
        "record",
        "run",
        "record ends",
        "on cuda:0 ends",
    ]
    gpu.log.clear()
    assert (replay(), replay()) == ("output", "output") and gpu.log == ["replay", "replay"]


@pytest.mark.parametrize("graph", [False, True])
def test_a_call_on_a_gpu_ends_when_the_gpu_is_done(gpu, on_gpu, graph, monkeypatch):
    monkeypatch.setattr("utils.benchmark.calls.pytorch_call", lambda *_: lambda: gpu.log.append("run"))
    call = single_call(on_gpu, noise((64, 64)), graph, gpu)
    gpu.log.clear()
    call()
    assert gpu.log == ["replay" if graph else "run", "finish cuda:0"]


def test_fp16_computes_in_fp16_and_returns_float32(weights):
    image = noise((64, 64))
    half, full = load_detector(weights, half=True), load_detector(weights)
    assert {p.dtype for p in half.model.parameters()} == {torch.float16} and half(image).dtype == torch.float32
    assert {p.dtype for p in full.model.parameters()} == {torch.float32}
    assert torch.allclose(single_call(half, image)().float(), half(image), rtol=0.01, atol=0.5)
    assert torch.allclose(half(image), full(image), rtol=0.05, atol=0.5)
    assert not torch.equal(half(image), full(image))
