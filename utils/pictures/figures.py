"""A matplotlib figure as a file."""

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from utils.files.atomic import write_atomically


def picture_bytes(figure: Figure, format: str = "png", **settings: Any) -> bytes:
    """Return a Figure as the bytes of a picture file; settings: those of Figure.savefig."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, **settings)
    return buffer.getvalue()


def write_figure(file: Path, figure: Figure, **settings: Any) -> None:
    """Write a Figure whole or not at all, in the format of the suffix. Raises InputError."""
    data = picture_bytes(figure, Path(file).suffix.lower().removeprefix("."), **settings)
    write_atomically(file, data, durable=False)
