"""Where the bytes of a model file are."""

import pytest
import torch

from models.yolo import DetectionModel
from utils.benchmark.sizes import format_items, itemise
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.files.paths import size_of


@pytest.fixture
def model(tiny_config):
    return DetectionModel(tiny_config).eval()


def counted(model, kind):
    """Return the bytes of the floating-point tensors in FP16, or of the others."""
    tensors = [*model.parameters(), *model.buffers()]
    if kind == "float":
        return sum(2 * t.numel() for t in tensors if t.is_floating_point())
    return sum(t.numel() * t.element_size() for t in tensors if not t.is_floating_point())


def test_a_finished_checkpoint_is_half_precision_weights_and_structure(model, tmp_path):
    file = tmp_path / "x.pt"
    save_checkpoint(file, finished_content(model))
    parts = itemise(file)
    assert sum(parts.values()) == file.stat().st_size == size_of(file)
    assert parts["weights float16"] == pytest.approx(counted(model, "float"), abs=64)  # and strides
    assert parts["weights int64"] == counted(model, "whole")  # batch counters of batch norms
    assert set(parts) <= {"weights float16", "weights float32", "weights int64", "graph and metadata"}
    assert parts["graph and metadata"] > 0


def test_an_optimizer_is_told_apart(model, tmp_path):
    momentum = [torch.zeros_like(p) for p in model.parameters()]
    save_checkpoint(tmp_path / "x.pt", {**finished_content(model), "optimizer": {"state": momentum}})
    assert itemise(tmp_path / "x.pt")["optimizer and training state"] == sum(4 * p.numel() for p in model.parameters())


def test_a_torchscript_file_is_counted_too(model, tmp_path):
    script = torch.jit.trace(torch.nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 8, 8))
    script.save(str(tmp_path / "x.torchscript"))
    parts = itemise(tmp_path / "x.torchscript")
    assert parts["weights float32"] == 4 * (3 * 4 + 4)
    assert sum(parts.values()) == size_of(tmp_path / "x.torchscript")


def test_a_folder_is_the_sum_of_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.xml").write_bytes(b"123")
    (tmp_path / "x.bin").write_bytes(b"4567")
    assert size_of(tmp_path) == 7
    assert itemise(tmp_path) == {"all of it": 7}


def test_items_as_text():
    assert format_items({"weights float16": 1_500_000, "graph and metadata": 20_000}) == (
        "weights float16 1.500 MB, graph and metadata 0.020 MB"
    )
