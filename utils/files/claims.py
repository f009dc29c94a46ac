"""What a `.pt` file claims to hold, checked against what it has, before PyTorch allocates anything.

The pickle inside is walked once with inert stand-ins: no class is looked up, no function called, no tensor built.
"""

import pickle
import zipfile
from collections.abc import Container
from pathlib import Path
from typing import Any

from models import limits
from utils.errors import InputError
from utils.files.foreign import describe

ITEM_BYTES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
    "UntypedStorage": 1,
}
BUILDERS = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.Size",
    "torch.device",
    "torch.float16",
    "torch.float32",
    "torch.float64",
    "torch.bfloat16",
    "torch.int64",
    "torch.int32",
    "torch.uint8",
    "torch.bool",
    "torch.serialization._get_layout",
    "_codecs.encode",
    "builtins.set",
    "__builtin__.set",
    "torch.nn.parameter.Parameter",
    *(f"torch.{name}" for name in ITEM_BYTES),
    "torch.storage.UntypedStorage",
}
LEGACY_PICKLES = 4  # magic number, protocol, system, content: then the tensors' bytes, in files before PyTorch 1.6


class Refused(InputError):
    """A file names something that no checkpoint of a detector holds, or claims more than it has."""


class Thing:
    """The stand-in for any object: it may be made, called and filled, and does nothing."""

    def __init__(self, *args: object) -> None:
        self.args = args

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        """Nothing."""

    def extend(self, values: object) -> None:
        """Nothing."""

    def add(self, value: object) -> None:
        """Nothing."""


class Claims(pickle.Unpickler):
    """Walks one pickle of a checkpoint; `storages` collects {key: bytes} of the tensors' bytes that it refers to."""

    def __init__(self, file: Any, allowed: Container[str]) -> None:
        super().__init__(file, encoding="utf-8")
        self.allowed = allowed
        self.storages: dict[str, int] = {}
        self.foreign: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a class or function, whatever it is called; strange names are remembered."""
        dotted = f"{module}.{name}"
        if dotted not in self.allowed and dotted not in BUILDERS:
            self.foreign.add(dotted)
        if dotted.startswith("torch._utils._rebuild_tensor"):
            return Tensor
        return type(name, (Thing,), {"dotted": dotted})

    def persistent_load(self, pid: Any) -> Any:
        """Return the Storage that a tensor refers to."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise Refused("refused, it refers to something that is no tensor")
        kind, key, count = getattr(pid[1], "dotted", "").rpartition(".")[2], str(pid[2]), pid[4]
        if kind not in ITEM_BYTES:
            raise Refused(f"refused, tensors of the type {kind or type(pid[1]).__name__} are no part of a checkpoint")
        if not isinstance(count, int) or count < 0:
            raise Refused(f"damaged, the tensor {key} has {count!r} values")
        self.storages[key] = max(self.storages.get(key, 0), count * ITEM_BYTES[kind])
        return Storage(count)


class Storage:
    """The bytes of a tensor: how many values they are."""

    def __init__(self, count: int) -> None:
        self.count = count


class Tensor(Thing):
    """The stand-in for a tensor; it must lie within its storage, and repeat its values only as grids do."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *more: object) -> None:
        numbers = [offset, *size, *stride]
        if not isinstance(storage, Storage) or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise Refused("damaged, a tensor has no proper size")
        if len(size) != len(stride):
            raise Refused("damaged, a tensor has a size and strides that do not belong together")
        count = last = 1
        for side, step in zip(size, stride, strict=True):
            count *= side
            last += max(side - 1, 0) * step
        repeated = count > max(storage.count, limits.REPEATED_VALUES)
        if count and (offset + last > storage.count or repeated):
            raise Refused(f"damaged, a tensor claims {count:,} values of the {storage.count:,} that are there")


def check_claims(path: str | Path, allowed: Container[str]) -> None:
    """Raise InputError when a `.pt` names what is not `allowed` (dotted names), or claims more than it holds.

    Other errors come from files that are no checkpoints at all; the caller says so.
    """
    path = Path(path)
    if zipfile.is_zipfile(path):
        check_archive(path, allowed)
        return
    with path.open("rb") as file:
        size = path.stat().st_size
        for _ in range(LEGACY_PICKLES):
            claims = Claims(file, allowed)
            claims.load()
            check_names(claims)
        if sum(claims.storages.values()) > size:
            raise Refused(f"damaged, its tensors claim {sum(claims.storages.values()):,} bytes of a file of {size:,}")


def check_archive(path: Path, allowed: Container[str]) -> None:
    """Check a `.pt` as PyTorch writes it since 1.6: a zip with a pickle and a file of bytes for every storage."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        unpacked = sum(entry.file_size for entry in entries.values())
        if unpacked > limits.UNPACKED_RATIO * path.stat().st_size:
            raise Refused(f"refused, its {path.stat().st_size:,} bytes would unpack to {unpacked:,}")
        name = next((name for name in entries if name.endswith("/data.pkl") or name == "data.pkl"), None)
        if name is None:
            raise Refused("not a readable PyTorch checkpoint (it holds no data.pkl)")
        if entries[name].file_size > limits.PICKLE_BYTES:
            raise Refused(
                f"refused, the description in it has {entries[name].file_size:,} bytes; that of a network has at most "
                f"{limits.PICKLE_BYTES:,}"
            )
        with archive.open(name) as file:
            claims = Claims(file, allowed)
            claims.load()
    check_names(claims)
    folder = name.removesuffix("data.pkl")
    for key, count in claims.storages.items():
        entry = entries.get(f"{folder}data/{key}")
        if entry is None or entry.file_size < count:
            held = entry.file_size if entry else 0
            raise Refused(f"damaged, tensor {key} claims {count:,} bytes and has {held:,}")


def check_names(claims: Claims) -> None:
    """Raise Refused when a pickle named something foreign: with what the network is where that is known."""
    found = sorted(claims.foreign)
    if known := describe(found):
        raise Refused(known)
    if found:
        raise Refused(
            f"refused, it contains {', '.join(found[:5])}, which is no part of a YOLOv5 checkpoint and could run code"
        )
