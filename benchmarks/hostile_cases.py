"""The files of hostile.py: for every reader, values that it does not expect at each place."""

import io
import json
import zipfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import yaml

from benchmarks.cases.archives import archive_cases
from benchmarks.cases.exports import FACTS, onnx_cases, read_facts
from benchmarks.cases.states import resume, state_cases
from benchmarks.cases.values import ODD, TENSORS, TINY, saved, zipped
from models.yolo import DetectionModel
from utils.data.config import load_data
from utils.data.download.archives import unpack
from utils.data.splits import load_split
from utils.files.checkpoint import checkpoint_bytes, finished_content, load_checkpoint
from utils.files.hyp import load_hyp
from utils.runtimes.runtimes import load_detector

PLACES = {
    "model": lambda m, v: vars(m).update(_modules=v),
    "layer": lambda m, v: m.model._modules.update({"0": v}),
    "modules": lambda m, v: vars(m.model[0]).update(_modules=v),
    "weight": lambda m, v: m.model[0].conv._parameters.update(weight=v),
    "parameter": lambda m, v: m.model[0].conv._parameters.update(forward=v),
    "parameters": lambda m, v: vars(m.model[0].conv).update(_parameters=v),
    "gamma": lambda m, v: m.model[0].bn._parameters.update(weight=v),
    "variance": lambda m, v: m.model[0].bn._buffers.update(running_var=v),
    "buffers": lambda m, v: vars(m.model[0].bn).update(_buffers=v),
    "anchors": lambda m, v: m.model[-1]._buffers.update(anchors=v),
    "names": lambda m, v: vars(m).update(names=v),
    "a name": lambda m, v: vars(m).update(names=[v, "b"]),
    "nc": lambda m, v: vars(m).update(nc=v),
    "yaml": lambda m, v: vars(m).update(yaml=v),
    **{
        f"yaml {key}": lambda m, v, key=key: vars(m).update(yaml={**m.yaml, key: v})
        for key in [*TINY, "ch", "activation"]
    },
}
TEXTS = {
    "aliases": "a: &a [1,1,1,1,1,1,1,1]\n"
    + "".join(f"{x}: &{x} [{', '.join(['*' + y] * 9)}]\n" for x, y in zip("bcdefgh", "abcdefg", strict=True)),
    "deep": "[" * 100_000,
    "deep mapping": "".join(" " * i + "a:\n" for i in range(2000)),
    "twice": "nc: 1\nnc: 2\n",
    "bool": "nc: !!bool x",
    "object": "nc: !!python/object/apply:os.system ['touch harmed']",
    "date": "nc: 2026-99-99",
    "digits": "nc: " + "9" * 5000,
    "controls": "nc: \x00\x01",
    "binary": "\x80\xff" * 100,
    "tab": "a:\n\t- b",
    "large": "a: b\n" * 500_000,
    "list": "- 1",
    "word": "word",
    "empty": "",
    "merge": "<<: 1",
    "timestamp": "nc: 2026-01-01T99:99:99Z",
    "surrogate": 'nc: "\\ud800"',
}
LABELS = [
    "0 0.5 0.5 0.2 0.2",
    "x",
    "0",
    "0 nan 0.5 0.2 0.2",
    "0 inf 0.5 0.2 0.2",
    "1e9 0.5 0.5 0.2 0.2",
    "-1 0.5 0.5 0.2 0.2",
    "0.5 0.5 0.5 0.2 0.2",
    "0 5 5 5 5",
    "0 0.5 0.5 -0.2 0.2",
    "0 1e400 0.5 0.2 0.2",
    "0 " + "0.1 " * 100_001,
    "\x00" * 100,
    "0 0.5 0.5 0.2 0.2 0.9",
    "0 0.5 0.5 0.2 0.2\n" * 100_000,
    "9" * 5000 + " 0.5 0.5 0.2 0.2",
    "\ufeff0 0.5 0.5 0.2 0.2",
    "0,0.5,0.5,0.2,0.2",
    "0 0.5 0.5 0 0",
    "０ 0.5 0.5 0.2 0.2",
]
COCO = {
    "images": [{"id": 1, "file_name": "0.png", "width": 32, "height": 32}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 8, 8], "iscrowd": 0}],
}


def checkpoint_cases():
    """Yield (name, bytes of a .pt, or a function that makes them)."""
    model = DetectionModel(TINY)
    good = checkpoint_bytes(finished_content(model))
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in files if name.endswith("data.pkl"))
    pickles = {
        "stop": b".",
        "nothing": b"N.",
        "half": files[pickled][:500],
        "allocates": b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        "runs": b"cos\nsystem\n(S'touch harmed'\ntR.",
        "evaluates": b'cbuiltins\neval\n(S\'open("harmed", "w")\'\ntR.',
        "mappings": b"\x80\x02" + b"}" * 1_400_000 + b".",
        "deep": b"\x80\x02" + b"]" * 700_000 + b"a" * 699_999 + b".",
        "large": b"\x80\x02" + b"N0" * 5_000_000 + b"N.",
        "tuples": b"\x80\x02N" + b"\x85" * 1_400_000 + b".",
        "reads": b"cbuiltins\ngetattr\n(cos\nenviron\nS'copy'\ntR.",
        "imports": b"cpip\nmain\n.",
        "memo": b"\x80\x02h\xff.",
    }
    yield from {"good": good, "empty": b"", "one byte": b".", "noise": np.random.default_rng(0).bytes(5000)}.items()
    for share in range(1, 16):
        yield f"cut at {share}/16", good[: len(good) * share // 16]
    for name, content in pickles.items():
        yield f"bare pickle {name}", content
        yield f"pickle {name}", zipped({**files, pickled: content})
    yield "bomb", zipped({**files, "bomb": b"\0" * 200_000_000}, zipfile.ZIP_DEFLATED)
    yield "short storage", zipped({name: b"\0" if "/data/" in name else data for name, data in files.items()})
    yield "no storage", zipped({name: data for name, data in files.items() if "/data/" not in name})
    for place, put in PLACES.items():
        for kind, value in {**ODD, **TENSORS}.items():
            yield f"{place}: {kind}", partial(tampered, model, put, value)
    for kind, value in {**ODD, **TENSORS}.items():
        yield f"content: {kind}", partial(saved, value)
        yield f"model: {kind}", partial(saved, {"model": value, "ema": None})
        yield f"entry: {kind}", partial(saved, {**finished_content(model), "opt": value, kind: value})


def tampered(model, put, value):
    """Return the bytes of a checkpoint of a model after put(network, value)."""
    content = finished_content(model)
    put(content["model"], value)
    return saved(content)


def yaml_cases(content):
    """Yield (name, bytes of a yaml): every key of a mapping with every odd value, and texts that are hard to parse."""
    for key in [*content, "unknown"]:
        for kind, value in ODD.items():
            yield f"{key}: {kind}", yaml.safe_dump({**content, key: value}).encode()
        yield f"without {key}", yaml.safe_dump({k: v for k, v in content.items() if k != key}).encode()
    for kind, text in TEXTS.items():
        yield kind, text.encode("utf-8", "surrogatepass")


def data_set(folder):
    """Write one image with a label; return the content of its yaml."""
    for name in ("images", "labels"):
        (folder / name).mkdir()
    cv2.imwrite(str(folder / "images/0.png"), np.full((32, 32, 3), 90, np.uint8))
    (folder / "labels/0.txt").write_text(LABELS[0])
    return {"path": str(folder), "train": "images", "val": "images", "nc": 1, "names": ["a"]}


def coco_cases():
    """Yield (name, bytes of a COCO json)."""
    for part, rows in COCO.items():
        for kind, value in ODD.items():
            yield f"{part}: {kind}", json.dumps({**COCO, part: value}).encode()
            for key in rows[0]:
                yield f"{part} {key}: {kind}", json.dumps({**COCO, part: [{**rows[0], key: value}]}).encode()
    yield from {
        "deep": b"[" * 100_000,
        "digits": b"[" + b"9" * 5000 + b"]",
        "bytes": b"\xff\xfe\x00",
        "empty": b"",
    }.items()


def image_cases():
    """Yield (name, bytes of an image)."""
    png = cv2.imencode(".png", np.full((32, 32, 3), 90, np.uint8))[1].tobytes()
    large = png[:16] + (30_000).to_bytes(4, "big") * 2 + png[24:]
    yield from {
        "empty": b"",
        "large": large,
        "huge": png[:16] + b"\x7f\xff\xff\xff" * 2 + png[24:],
        "text": b"text",
    }.items()
    jpeg = cv2.imencode(".jpg", np.full((32, 32, 3), 90, np.uint8))[1].tobytes()
    for name, whole in (("png", png), ("jpeg", jpeg)):
        for share in range(1, 8):
            yield f"{name} cut at {share}/8", whole[: len(whole) * share // 8]


def cases(folder):
    """Yield (reader, name, bytes, file to write them to, function that reads it) of every case."""
    for name, content in checkpoint_cases():
        yield "checkpoint", name, content, folder / "x.pt", load_checkpoint
    for name, content in yaml_cases(TINY):
        yield "model yaml", name, content, folder / "x.yaml", DetectionModel
    hyp = yaml.safe_load((Path(__file__).parents[1] / "data/hyps/hyp.scratch-low.yaml").read_text())
    for name, content in yaml_cases({key: hyp[key] for key in ("lr0", "mosaic", "anchor_t")}):
        yield "hyp yaml", name, content, folder / "x.yaml", load_hyp
    yield from data_cases(folder)
    for name, content in archive_cases():
        yield "archive", name, content, folder / "a.zip", lambda file: unpack(file, folder / "out")
    for number, text in enumerate(FACTS):
        yield "metadata", f"text {number}", text.encode("utf-8", "surrogatepass"), folder / "facts.txt", read_facts
    for name, content in onnx_cases():
        yield "ONNX", name, content, folder / "x.onnx", load_detector
    for name, content in state_cases():
        yield "resume", name, content, folder / "last.pt", resume


def data_cases(folder):
    """Yield the cases around a data set."""
    data = data_set(folder)
    whole = yaml.safe_dump(data)

    def read_data(file):
        """Read the images that a data yaml names."""
        load_split(load_data(file), "train", progress=False)

    for name, content in yaml_cases(data):
        yield "data yaml", name, content, folder / "data.yaml", read_data

    def read_set(file):
        """Read the images whose labels a file has."""
        (folder / "data.yaml").write_text(
            yaml.safe_dump({**data, "train": "coco.json"}) if file.suffix == ".json" else whole
        )
        read_data(folder / "data.yaml")

    for number, text in enumerate(LABELS):
        yield "labels", f"row {number}", text.encode(), folder / "labels/0.txt", read_set
    (folder / "labels/0.txt").write_text(LABELS[0])
    for name, content in image_cases():
        yield "image", name, content, folder / "images/0.png", read_set
    (folder / "images/0.png").write_bytes(cv2.imencode(".png", np.full((32, 32, 3), 90, np.uint8))[1].tobytes())
    for name, content in coco_cases():
        yield "COCO json", name, content, folder / "coco.json", read_set
    for name, content in {
        "noise": b"noise",
        "bomb": zipped({"paths.npy": b"\0" * 200_000_000}, zipfile.ZIP_DEFLATED),
        "empty": b"",
        "claim": zipped({"paths.npy": np_claim()}),
    }.items():
        yield "label cache", name, content, folder / "labels.cache.npz", read_set


def np_claim():
    """Return the header of an array that claims a billion rows."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**9,)})
    return buffer.getvalue()
