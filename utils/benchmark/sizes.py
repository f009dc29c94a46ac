"""Where the bytes of a model file are: weights by type, and the rest."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from utils.files.paths import size_of
from utils.files.pickles import StandIn, read_file
from utils.runtimes.packages import need

GRAPH = "graph and metadata"
NOT_WEIGHTS = "optimizer and training state"


def itemise(path: str | Path) -> dict[str, int]:
    """Return {what: bytes} of a model file, largest first: "weights float16", …, and what else there is; they sum up.

    Of formats other than .pt, .onnx and .torchscript only the total is known. Raises InputError when it is unreadable.
    """
    path = Path(path)
    total = size_of(path)
    readers = {".pt": checkpoint_tensors, ".onnx": onnx_tensors, ".torchscript": script_tensors}
    reader = readers.get(path.suffix.lower())
    parts = reader(path) if reader else Counter()
    rest = total - sum(parts.values())
    parts[GRAPH if reader else "all of it"] += rest
    return dict(sorted(parts.items(), key=lambda item: -item[1]))


def format_items(items: Mapping[str, int]) -> str:
    """Return the items of `itemise` as one line."""
    return ", ".join(f"{what} {count / 1e6:.3f} MB" for what, count in items.items())


def tensor_bytes(tensors: Iterable[torch.Tensor]) -> Counter[str]:
    """Return a Counter {"weights <type>": bytes} of tensors."""
    parts: Counter[str] = Counter()
    for tensor in tensors:
        parts[f"weights {str(tensor.dtype).removeprefix('torch.')}"] += tensor.numel() * tensor.element_size()
    return parts


def checkpoint_tensors(path: Path) -> Counter[str]:
    """Return a Counter of the tensors in a checkpoint: those of its network, and all others together."""
    content = read_file(path)
    seen: set[int] = set()
    entries = dict(content) if isinstance(content, dict) else {"model": content}
    network = "model" if entries.get("model") is not None else "ema"
    parts = tensor_bytes(tensors_in(entries.pop(network, None), seen))
    others = tensor_bytes(tensors_in(entries, seen))
    return parts + Counter({NOT_WEIGHTS: sum(others.values())})  # the sum drops it when there are none


def tensors_in(value: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """Yield the tensors in an object of a checkpoint whose memory is not in the set `seen`, which is extended."""
    if isinstance(value, torch.Tensor):
        if value.untyped_storage().data_ptr() not in seen:
            seen.add(value.untyped_storage().data_ptr())
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item, seen)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from tensors_in(item, seen)
    elif isinstance(value, StandIn) and id(value) not in seen:
        seen.add(id(value))
        yield from tensors_in(vars(value), seen)


def onnx_tensors(path: Path) -> Counter[str]:
    """Return a Counter of the tensors in an ONNX file."""
    onnx = need("onnx", str(path))
    graph = onnx.load(str(path)).graph
    parts: Counter[str] = Counter()
    constants = [a.t for node in graph.node if node.op_type == "Constant" for a in node.attribute if a.HasField("t")]
    for tensor in [*graph.initializer, *constants]:
        array = onnx.numpy_helper.to_array(tensor)
        parts[f"weights {array.dtype}"] += array.nbytes
    return parts


def script_tensors(path: Path) -> Counter[str]:
    """Return a Counter of the tensors in a TorchScript file."""
    module = torch.jit.load(str(path), map_location="cpu")
    return tensor_bytes([*module.parameters(), *module.buffers()])
