"""What exported files say of themselves, made to harm: metadata, and ONNX files around it."""

from functools import partial

import numpy as np
import onnx

from utils.errors import InputError
from utils.runtimes.metadata import read_cost, read_names_and_stride, read_shape

FACTS = [
    *(
        "9" * 5000,
        "(" * 100_000,
        "[" * 50,
        "-" * 100_000,
        "{'a': 1}",
        "{1e400: 'a'}",
        "None",
        "0",
        "-1",
        "1e400",
        "nan",
    ),
    *("__import__('os').system('touch harmed')", "[" + "'a'," * 100_000 + "]", "{10**9: 'a'}", "\x00", "\ud800", "{}"),
    *("[0, 0]", "[-1, 64]", "[10**9, 10**9]", "[1000000000000, 64]", "{0: {}}", "b'a'", "{" * 3000),
]


def read_facts(file):
    """Read what an exported file says of itself, the same text in each place. Raises InputError."""
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    read_cost({"parameters": text, "gflops": text})
    refused = []
    for read, facts in (
        (read_names_and_stride, {"names": text, "stride": "8"}),
        (read_names_and_stride, {"names": "['a']", "stride": text}),
        (read_shape, {"imgsz": text}),
    ):
        try:
            read(facts, file)
        except InputError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def onnx_cases():
    """Yield (name, bytes of an ONNX file, or a function that makes them)."""
    good = onnx_bytes()
    yield from {"good": good, "empty": b"", "text": b"text", "noise": np.random.default_rng(0).bytes(5000)}.items()
    for share in range(1, 8):
        yield f"cut at {share}/8", good[: len(good) * share // 8]
    for number, text in enumerate(FACTS):
        for key in ("names", "stride", "parameters", "nms"):
            if text.isascii() and "\0" not in text:
                yield f"{key} {number}", partial(onnx_bytes, facts={key: text})
    for side in (-1, 0, 10**9, 2**62):
        for axis in range(4):
            yield f"input {axis}: {side}", partial(onnx_bytes, shape=[side if i == axis else 64 for i in range(4)])
    yield "shapes", partial(onnx_bytes, shape=[1, 3])
    yield "claims weights", partial(onnx_bytes, weights=onnx.TensorProto(dims=[10**9], data_type=1, name="w"))
    outside = onnx.TensorProto(dims=[4], data_type=1, name="w", data_location=onnx.TensorProto.EXTERNAL)
    for place in ("/etc/passwd", "../../../../etc/passwd", "/dev/zero", "x\0y", "harmed"):
        outside.ClearField("external_data")
        outside.external_data.add(key="location", value=place)
        yield (
            f"weights of {place!r}",
            partial(onnx_bytes, weights=onnx.TensorProto.FromString(outside.SerializeToString())),
        )
    for kind in ("Missing", "Loop", "If"):
        yield f"operator {kind}", partial(onnx_bytes, operator=kind)


def onnx_bytes(facts=None, shape=(1, 3, 64, 64), weights=None, operator="Identity"):
    """Return an ONNX file that gives its input back, with what is wrong with it."""
    make = onnx.helper
    value = [make.make_tensor_value_info(name, 1, shape) for name in ("images", "output0")]
    graph = make.make_graph([make.make_node(operator, ["images"], ["output0"])], "g", value[:1], value[1:])
    if weights:
        graph.initializer.append(weights)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 12)])
    make.set_model_props(model, {"stride": "32", "names": "['a']", **(facts or {})})
    return model.SerializeToString()
