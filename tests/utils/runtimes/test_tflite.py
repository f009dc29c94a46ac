"""Files of TensorFlow Lite: float and quantized ends, the metadata behind the network, and what is not one."""

import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from utils.errors import InputError
from utils.runtimes.runtimes import load_detector
from utils.runtimes.tflite import dequantized, quantized, read_facts

FACTS = "{'stride': 32, 'names': {0: 'a', 1: 'b'}}"


class Echo:
    """An interpreter that remembers its input and answers with one box in the middle, half as wide, as high as all."""

    kind, scales = np.float32, (0.0, 0)

    def __init__(self, model_content, num_threads=None):
        self.network, self.seen = model_content, None

    def allocate_tensors(self):
        if self.network.startswith(b"broken"):
            raise ValueError("not a valid\nbuffer")

    def get_input_details(self):
        return [{"index": 0, "shape": np.array([1, 64, 96, 3]), "dtype": self.kind, "quantization": self.scales}]

    def get_output_details(self):
        return [{"index": 1, "shape": np.array([1, 1, 7]), "dtype": self.kind, "quantization": self.scales}]

    def set_tensor(self, index, values):
        self.seen = values

    def invoke(self):
        assert self.seen.shape == (1, 64, 96, 3) and self.seen.dtype == self.kind

    def get_tensor(self, index):
        return quantized(np.float32([[[0.5, 0.5, 0.5, 1, 0.8, 1, 0]]]), self.get_output_details()[0])


class EchoInt8(Echo):
    """The same with integers at both ends, as the public export in eight bits has them."""

    kind, scales = np.uint8, (1 / 255, 0)


@pytest.fixture
def install(monkeypatch):
    """Return the function that makes a class the interpreter that is installed."""

    def put(interpreter):
        module = SimpleNamespace(Interpreter=interpreter)
        monkeypatch.setitem(sys.modules, "ai_edge_litert", SimpleNamespace(interpreter=module))
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)

    return put


def write(path, network=b"network", facts=FACTS):
    """Write a file of some bytes with metadata behind them, as the public export does; return the path."""
    path.write_bytes(network)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("temp_meta.txt", facts)
    return path


@pytest.mark.parametrize("interpreter", [Echo, EchoInt8])
def test_a_file_of_the_public_export_gives_pixels(tmp_path, install, interpreter):
    install(interpreter)
    runtime = load_detector(write(tmp_path / "x.tflite"))
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    found = runtime(images)
    assert (runtime.shape, runtime.batch, runtime.names, runtime.size_multiple) == ((64, 96), 1, {0: "a", 1: "b"}, 32)
    assert torch.allclose(found, torch.tensor([48.0, 32, 48, 64, 0.8, 1, 0]).expand(2, 1, 7), atol=0.2)
    pixels = images[1].permute(1, 2, 0)
    seen = dequantized(runtime.interpreter.seen, runtime.input)[0]
    assert torch.allclose(torch.from_numpy(seen), pixels, atol=0.51 / 255)


def test_integers_stand_for_steps_of_the_scale_above_the_zero_point():
    detail = {"dtype": np.int8, "quantization": (0.5, -3)}
    values = np.float32([0, 1, -1.24, 1000])
    assert quantized(values, detail).tolist() == [-3, -1, -5, 127]
    assert dequantized(np.int8([-3, -1, -5]), detail).tolist() == [0, 1, -1]
    plain = {"dtype": np.float32, "quantization": (0.0, 0)}
    assert quantized(values, plain) is values and dequantized(values, plain) is values


def test_a_missing_interpreter_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(InputError, match=r"x.tflite: needs .* ai_edge_litert\S*; pip install ai_edge_litert$"):
        load_detector(write(tmp_path / "x.tflite"))


@pytest.mark.parametrize(
    ("network", "facts", "expected"),
    [
        (b"broken", FACTS, "not a readable TFLite file .not a valid buffer."),
        (b"network", "{'stride': 32}", "no metadata 'names'"),
        (b"network", "no facts", "metadata are unreadable"),
        (b"network", "{'stride': 32, 'names': ['a']}", r"output is \[1, 1, 7\], but that of a YOLOv5 detector is"),
    ],
)
def test_what_is_no_detector_is_one_line(tmp_path, install, network, facts, expected):
    install(Echo)
    with pytest.raises(InputError, match=expected) as error:
        load_detector(write(tmp_path / "x.tflite", network, facts))
    assert "\n" not in str(error.value)


def test_other_inputs_and_outputs_are_named(tmp_path, install):
    class Two(Echo):
        def get_output_details(self):
            return super().get_output_details() * 2

    install(Two)
    with pytest.raises(InputError, match=r"1 inputs and 2 outputs, .*; must be one input, images \[B, H, W, 3\]"):
        load_detector(write(tmp_path / "x.tflite"))


def test_a_file_without_an_archive_has_no_metadata(tmp_path, install):
    install(Echo)
    (tmp_path / "x.tflite").write_bytes(b"network")
    assert read_facts(tmp_path / "x.tflite") == {}
    with pytest.raises(InputError, match="no metadata 'names'; must be exported by export.py of YOLOv5"):
        load_detector(tmp_path / "x.tflite")
