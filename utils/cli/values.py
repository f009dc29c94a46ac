"""Values of options that come from a file or a function call instead of a command line."""

import typing
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from os import PathLike
from types import UnionType
from typing import Any

from utils.cli.options import value_type
from utils.errors import InputError


def read_value(where: object, key: str, value: Any, annotation: Any, choices: Collection | None = None) -> Any:
    """Return a value as its option has it: in a list where one is asked for; paths and numbers as text, where text is.

    where: the file or function that the value comes from. Raises InputError for another type and for no choice.
    """
    if value_type(annotation) is str:
        value = [as_text(v) for v in value] if isinstance(value, (list, tuple)) else as_text(value)
    elif isinstance(value, tuple):
        value = list(value)
    if typing.get_origin(annotation) is list and not isinstance(value, list):
        value = [value]
    check_type(where, key, value, annotation)
    if choices and any(one not in choices for one in (value if isinstance(value, list) else [value])):
        raise InputError(f"{where}: {key}: {value!r} must be one of {', '.join(map(str, choices))}")
    return value


def as_text(value: Any) -> Any:
    """Return a path or number as text, anything else as it is."""
    if isinstance(value, PathLike) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return str(value)
    return value


def check_type(where: object, key: str, value: Any, annotation: Any) -> None:
    """Raise InputError when a value has not the type of the option."""
    kind = value_type(annotation)
    union = typing.get_origin(annotation) in (UnionType, typing.Union)
    forms = typing.get_args(annotation) if union else (annotation,)
    lists = any(typing.get_origin(form) is list for form in forms)
    single = any(typing.get_origin(form) is not list for form in forms)
    fits = lists if isinstance(value, list) else single
    accepted = (int, float) if kind is float else kind
    for one in value if isinstance(value, list) else [value]:
        fits &= isinstance(one, accepted) and (kind is bool or not isinstance(one, bool))
    if not fits and not (value is None and type(None) in forms):
        raise InputError(f"{where}: {key}: {value!r} must be of type {kind.__name__}")


def unknown(key: object, known: Iterable[str], otherwise: str) -> str:
    """Return the message about an unknown key: the one that may have been meant, or where all are listed."""
    close = get_close_matches(str(key), known, n=1, cutoff=0.5)
    return f"unknown key {key!r}; {f'did you mean {close[0]!r}?' if close else otherwise}"
