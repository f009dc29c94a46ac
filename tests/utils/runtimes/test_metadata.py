"""What an exported file says of itself is held against what a detector can be."""

import pytest

from models import limits
from utils.errors import InputError
from utils.runtimes.interface import Runtime, fixed_shape
from utils.runtimes.metadata import read_cost, read_names_and_stride, read_shape


@pytest.mark.parametrize(
    ("names", "stride"),
    [("['a', 'b']", "32"), ("{0: 'a', 1: 'b'}", "32.0"), ({"1": "b", "0": "a"}, 32), (["a", "b"], 32)],
)
def test_every_spelling_of_names_and_stride_is_read(names, stride):
    facts = {"names": names, "stride": 32.0 if stride == "32.0" else stride}
    assert read_names_and_stride(facts, "x.onnx") == ({0: "a", 1: "b"}, 32)


@pytest.mark.parametrize(
    "facts",
    [
        {"names": "[" * 100_000},
        {"names": "-" * 100_000},
        {"names": "(" * 5_000 + ")" * 5_000},
        {"names": str(["x" * (limits.NAME_LENGTH + 1)])},
        {"names": str([""] * (limits.CLASSES + 1))},
        {"names": "'" + "x" * limits.TEXT_BYTES + "'"},
        {"names": "{0: 'a', 2: 'b'}"},
        {"names": "{1e400: 'a'}"},
        {"names": "[]"},
        {"names": None},
        *({"stride": stride} for stride in ("0", "-32", "1e400", "10**9", "None", str(limits.KERNEL + 1), "9" * 5000)),
        ["names", "stride"],
    ],
)
def test_names_and_stride_of_no_detector_are_one_line(facts):
    values = {"names": "['a']", "stride": "32", **facts} if isinstance(facts, dict) else facts
    with pytest.raises(InputError, match="x.onnx: .*metadata") as error:
        read_names_and_stride(values, "x.onnx")
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("imgsz", ["640", "[64]", "['a', 64]", "[64.5, 64]", "[True, 64]", "[" * 9999, None])
def test_a_size_that_is_none_is_one_line(imgsz):
    assert read_shape({"imgsz": "[64, 96]"}, "x.onnx") == (64, 96)
    with pytest.raises(InputError, match="x.onnx: metadata imgsz"):
        read_shape({"imgsz": imgsz}, "x.onnx")


def test_a_cost_that_is_none_is_not_known():
    assert read_cost({"parameters": "7", "gflops": "0.5"}) == (7, 0.5)
    for parameters, gflops in (("-1", "1"), ("1", "inf"), (float("inf"), "1"), ("9" * 5000, "1"), (None, "1")):
        assert read_cost({"parameters": parameters, "gflops": gflops}) == (None, None)


@pytest.mark.parametrize(
    ("shape", "batch"),
    [((0, 64), 1), ((-64, 64), 1), ((10**9, 10**9), 1), ((64, "a"), 1), ((64, 64), 10**6), (None, 0)],
)
def test_images_that_no_file_takes_are_refused_before_they_are_made(shape, batch):
    assert Runtime("x", {0: "a"}, 32, (64, 64), 16).batch == 16
    with pytest.raises(InputError, match="x: takes images of batch, height, width"):
        Runtime("x", {0: "a"}, 32, shape, batch)


def test_sizes_that_are_not_four_are_refused():
    assert fixed_shape([1, 3, 64, None], "x") is None
    with pytest.raises(InputError, match="x: its input is"):
        fixed_shape([1, 3], "x")
