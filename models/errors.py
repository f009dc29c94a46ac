"""What is wrong with a model description, as a user reads it."""

from typing import Any


class SpecError(ValueError):
    """A model description is wrong: one line that names the file, the row or key, the value and what would be right."""


def shown(value: Any) -> str:
    """Return a value of a file as a message shows it: short, whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # numbers of more digits than Python prints; containers that hold themselves
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
