"""Dataclasses as JSON files: written as plain values, checked as a whole when they are read back."""

import json
import typing
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar

from utils.errors import InputError
from utils.files.atomic import write_atomically

Kind = TypeVar("Kind")
NAMES = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def write_json(file: Path, instance: Any) -> None:
    """Write a dataclass instance, with all that is in it, to a JSON file. Raises InputError when that is impossible."""
    write_atomically(file, json.dumps(asdict(instance), indent=1).encode())


def read_json(file: Path, kind: type[Kind], what: str) -> Kind:
    """Return the instance of the dataclass `kind` that write_json wrote.

    what: the file's purpose, for messages. Raises InputError that names the file, and the key of a value that is
    missing, unknown or of another type.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as {what} ({error})") from None
    return typed(kind, content, str(file), "")


def typed(kind: Any, value: Any, file: str, key: str) -> Any:
    """Return a JSON value as an annotation `kind` says; file, key: where it stands. Raises InputError."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (UnionType, typing.Union):
        (kind,) = (part for part in inner if part is not NoneType)
        return None if value is None else typed(kind, value, file, key)
    if origin is typing.Literal:
        require(value in inner, file, key, value, f"one of {', '.join(map(str, inner))}")
        return value
    if is_dataclass(kind):
        return typed_instance(kind, value, file, key)
    if origin is dict:
        require(isinstance(value, dict), file, key, value, NAMES[dict])
        return {name: typed(inner[1], part, file, f"{key}.{name}") for name, part in value.items()}
    if origin in (list, tuple):
        size = len(inner) if origin is tuple else None
        right = isinstance(value, list) and size in (None, len(value))
        require(right, file, key, value, f"a list of {size}" if size else NAMES[list])
        return origin(typed(inner[0], part, file, f"{key}[{place}]") for place, part in enumerate(value))
    accepted = (int, float) if kind is float else kind
    require(isinstance(value, accepted) and isinstance(value, bool) == (kind is bool), file, key, value, NAMES[kind])
    return kind(value)


def typed_instance(kind: Any, value: Any, file: str, key: str) -> Any:
    """Return a JSON mapping as an instance of the dataclass `kind`; fields that have a default may be absent."""
    require(isinstance(value, dict), file, key, value, NAMES[dict])
    types, known = typing.get_type_hints(kind), fields(kind)
    prefix = f"{key}." if key else ""
    unknown = sorted(set(value) - {field.name for field in known})
    needed = {field.name for field in known if field.default is MISSING and field.default_factory is MISSING}
    for problem, names in (("is unknown", unknown), ("is missing", sorted(needed - set(value)))):
        if names:
            raise InputError(f"{file}: {prefix}{names[0]}: {problem}")
    return kind(**{name: typed(types[name], part, file, prefix + name) for name, part in value.items()})


def require(right: bool, file: str, key: str, value: object, what: str) -> None:
    """Raise InputError when a value is not right; what: what it must be."""
    if not right:
        raise InputError(f"{file}: {key or 'its content'}: {shortened(value)} must be {what}")


def shortened(value: object, length: int = 60) -> str:
    """Return a value in JSON, of a long one the beginning."""
    text = json.dumps(value)
    return text if len(text) <= length else f"{text[:length]}…"
