"""The one exception that a user is meant to read."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Something the user gave is wrong: one line that names the file, line or key, the value, and what would be right.

    Scripts print it without a traceback and exit with code 2 (utils.cli.options.run).
    """


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Put `what`, such as a flag, before the message of an InputError in the body."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what} {error}") from None
