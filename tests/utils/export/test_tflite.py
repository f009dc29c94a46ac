"""export.py --include tflite: the layout of the public export, in float and in eight bits."""

import ast
import zipfile

import numpy as np
import pytest
import torch

from utils.export.export import export
from utils.export.head import export_network
from utils.export.options import ExportOptions
from utils.export.parity import FLOAT, INT8, comparison_images, deviation, shortcomings
from utils.export.tflite import PixelsLast, quantize, range_of, write_tflite
from utils.files.checkpoint import load_checkpoint
from utils.runtimes.metadata import describe_model
from utils.runtimes.runtimes import TorchRuntime, load_detector

SHAPE = 64, 96


@pytest.fixture(scope="module")
def file(small_weights, tmp_path_factory):
    """Return the path of the small network as a .tflite file in float."""
    pytest.importorskip("litert_torch")
    model, path = load_checkpoint(small_weights).network, tmp_path_factory.mktemp("tflite") / "small.tflite"
    write_tflite(path, model, describe_model(model, SHAPE))
    return path


def test_pixels_come_last_and_boxes_are_shares_of_the_sides(detector):
    images = comparison_images(SHAPE, seed=5)[:1]
    network = PixelsLast(export_network(detector, SHAPE), SHAPE)
    with torch.no_grad():
        expected, found = detector(images)[0], network(images.permute(0, 2, 3, 1))
    sides = torch.tensor([96, 64, 96, 64, 1, 1, 1, 1])
    assert torch.allclose(found * sides, expected, rtol=1e-4, atol=1e-3)


def test_a_range_leaves_out_one_value_of_a_hundred_thousand_at_either_end():
    values = np.arange(200_001, dtype=np.float32)[::-1].reshape(1, 1, -1, 1)
    assert range_of(values).shape == (2, 1, 1, 1, 1)
    assert range_of(values).ravel().tolist() == [2, 199_998]
    assert range_of(values[:, :, :7]).ravel().tolist() == [199_994, 200_000]


def test_files_give_what_the_checkpoint_gives_in_the_public_layout(file, small_weights):
    images = comparison_images(SHAPE, seed=5)
    runtime = load_detector(file)
    assert (runtime.shape, runtime.batch, runtime.names[2]) == (SHAPE, 1, "triangle")
    assert runtime.cost[0] == TorchRuntime(small_weights).cost[0]
    assert shortcomings(FLOAT, deviation(TorchRuntime(small_weights)(images), runtime(images))) == []
    assert runtime.input["shape"].tolist() == [1, 64, 96, 3]
    assert runtime.interpreter.get_tensor(runtime.output["index"])[..., :2].max() < 1.5  # centres are no pixels
    with zipfile.ZipFile(file) as archive:  # as the public code reads it
        facts = ast.literal_eval(archive.read(archive.namelist()[0]).decode())
    assert int(facts["stride"]) == 32 and "triangle" in facts["names"]


def test_eight_bits_are_the_same_detector_with_detect_in_float(file, small_weights, tmp_path):
    images = comparison_images(SHAPE, seed=9)
    path = tmp_path / "small_int8.tflite"
    path.write_bytes(quantize(file, [image[None].numpy() for image in images]))
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.txt", whole.read(whole.namelist()[0]))
    runtime, expected = load_detector(path), TorchRuntime(small_weights)(images)
    assert shortcomings(INT8, deviation(expected, runtime(images), average=True)) == []
    assert deviation(expected, runtime(images)).score > 1e-4  # it has been rounded
    assert path.stat().st_size < 0.5 * file.stat().st_size
    weights = [d for d in runtime.interpreter.get_tensor_details() if len(d["shape"]) == 4 and d["dtype"] == np.int8]
    channels = [d for d in weights if len(d["quantization_parameters"]["scales"]) == d["shape"][0] > 1]
    assert len({d["index"] for d in channels}) >= 57  # a scale for each channel
    assert runtime.output["dtype"] == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("int8", [False, True])
def test_export_writes_calibrates_and_compares(weights, drawn_data, int8, capsys):
    pytest.importorskip("litert_torch")
    text = drawn_data.read_text().replace("blue", "circle").replace("green", "square").replace("red", "triangle")
    drawn_data.write_text(text)
    before = set(weights.parent.iterdir())
    options = ExportOptions(weights=str(weights), include=["tflite"], imgsz=[64], data=str(drawn_data), int8=int8)
    (exported,) = export(options)
    assert exported.broken == [] and "mAP50-95 0." in capsys.readouterr().out
    assert set(weights.parent.iterdir()) - before == {weights.with_name(f"small{'_int8' * int8}.tflite")}
