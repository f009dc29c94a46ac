"""What a user reads when something is wrong: the one exception meant for it, and how its text is made."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_LINE = 300  # characters of a message; what a file holds may be longer


class InputError(ValueError):
    """Something the user gave is wrong: one line that names the file, line or key, the value, and what would be right.

    Scripts print it without a traceback and exit with code 2 (utils.cli.start.run).
    """


class Terminated(KeyboardInterrupt):
    """The program was asked to end by SIGTERM, as by a batch system; like ^C, but for the exit code."""


def warn(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def readable(path: object, what: str) -> Iterator[None]:
    """Turn whatever a library raises over a file's content into an InputError that names the file.

    Libraries raise anything over a file made to break them; so this is the one place, and no list of exceptions.
    what: what the file should be, such as "PyTorch checkpoint".
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0].partition(". ")[0]
        known = isinstance(error, (RuntimeError, OSError)) and first
        reason = first if known else f"{type(error).__name__}: {first}" if first else type(error).__name__
        raise InputError(f"{path}: not a readable {what} ({reason})") from None


def one_line(text: str, limit: int = LONGEST_LINE) -> str:
    """Return a message as one line of at most `limit` characters, control characters escaped."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def printable(message: str) -> str:
    """Return a message as it may be printed: one line, and below it only those that are indented by two spaces.

    So a name with line breaks in a file cannot look like a message of its own.
    """
    return "\n".join(one_line(line) for line in re.split(r"\n(?=  )", message))


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Put `what`, such as a flag, before the message of an InputError in the body."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what} {error}") from None
