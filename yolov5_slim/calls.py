"""From a function call to the options of a command, and what happens around its work."""

import io
import typing
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import MISSING, fields, replace
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar

from utils.cli.options import settle
from utils.cli.values import read_value, unknown
from utils.errors import InputError
from utils.progress import Event, listening
from yolov5_slim.results import Result

Made = TypeVar("Made", bound=Result)
OWN = {"quiet": (bool, False), "progress": (Callable[[Event], object] | None, None)}  # of every function


def takes(options: type) -> Callable[[Callable[[Any], Made]], Callable[..., Made]]:
    """Return the decorator that turns a function of an options dataclass into one of its fields as keywords."""

    def decorate(work: Callable[[Any], Made]) -> Callable[..., Made]:
        """Return the function that is called."""

        @wraps(work)
        def call(*, quiet: bool = False, progress: Callable[[Event], object] | None = None, **given: Any) -> Made:
            """Do the work for keywords."""
            with surroundings(quiet, progress) as said:
                made = work(settle(options, read_keywords(work.__name__, options, given)))
            return replace(made, output=said.getvalue())

        call.__signature__ = signature(options)  # type: ignore[attr-defined]  # for help and completion
        return call

    return decorate


def read_keywords(name: str, options: type, given: dict[str, Any]) -> dict[str, Any]:
    """Return {field: value} of the keywords that a function called `name` was given.

    None stands for the default. Raises InputError for unknown names, values of other types and no choices.
    """
    types = typing.get_type_hints(options)
    rules = {field.name: field.metadata["flag"] for field in fields(options)}
    values = {}
    for key, value in given.items():
        if key not in rules:
            raise InputError(f"{name}(): {unknown(key, [*rules, *OWN], 'help lists the keywords')}")
        if value is not None:
            values[key] = read_value(f"{name}()", key, value, types[key], rules[key].choices)
    return values


def signature(options: type) -> Signature:
    """Return the signature of a function that takes the fields of an options dataclass as keywords."""
    types = typing.get_type_hints(options)
    shown = [(name, kind, default) for name, (kind, default) in OWN.items()]
    for field in fields(options):
        factory: Any = field.default_factory
        shown.append((field.name, types[field.name], factory() if field.default is MISSING else field.default))
    kind = Parameter.KEYWORD_ONLY
    return Signature([Parameter(name, kind, default=default, annotation=hint) for name, hint, default in shown])


@contextmanager
def surroundings(quiet: bool, progress: Callable[[Event], object] | None) -> Iterator[io.StringIO]:
    """Give the text that the body would have printed when it is quiet; `progress` is called with every Event in it."""
    said = io.StringIO()
    with ExitStack() as stack:
        if quiet:
            stack.enter_context(redirect_stdout(said))
            stack.enter_context(redirect_stderr(said))
        if progress:
            stack.enter_context(listening(progress))
        yield said
