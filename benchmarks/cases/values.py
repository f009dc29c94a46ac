"""A tiny network, values that no reader expects, and the files that they are written to."""

import io
import zipfile

import torch

TINY = {
    "nc": 2,
    "depth_multiple": 0.33,
    "width_multiple": 0.125,
    "anchors": [[8, 8, 16, 16]],
    "backbone": [[-1, 1, "Conv", [64, 6, 2, 2]], [-1, 1, "C3", [64]]],
    "head": [[[1], 1, "Detect", ["nc", "anchors"]]],
}
CYCLE: list = []
CYCLE.append(CYCLE)
ODD = {
    "nothing": None,
    "text": "text",
    "empty": "",
    "minus": -1,
    "zero": 0,
    "large": 10**9,
    "huge": 10**400,
    "float": 1e308,
    "nan": float("nan"),
    "infinity": float("inf"),
    "true": True,
    "list": [],
    "nested": [[[[]]]],
    "mapping": {"a": 1},
    "controls": "a\nerror: \x1b[31m\x00",
    "long": "x" * 1_000_000,
}
TENSORS = {
    "scalar": torch.tensor(1.0),
    "empty": torch.ones(0),
    "wide": torch.ones(3, 5),
    "infinite": torch.full((8,), torch.inf),
    "expanded": torch.ones(1).expand(1_500_000_000),
    "whole": torch.ones(8, dtype=torch.int64),
    "cycle": CYCLE,
    "complex": torch.ones(8, dtype=torch.complex64),
    "sparse": torch.ones(8).to_sparse(),
    "meta": torch.ones(8, device="meta"),
    "bytes": b"bytes",
    "set": {1, 2},
    "integer keys": {1: 2},
}


def zipped(files, method=zipfile.ZIP_STORED):
    """Return a zip with {name: bytes}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def saved(content):
    """Return what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
