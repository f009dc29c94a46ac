"""Pages made of the templates beside: all that is filled in is escaped, so that nothing from a file becomes markup."""

from base64 import b64encode
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")
MISSING = "not measured"


def render(template: str, **values: object) -> str:
    """Return a page as HTML text.

    Args:
        template: name of a file in the folder of templates.
        values: what it shows. Text is escaped; charts are Markup of utils.pictures.charts and stay as they are.
    """
    return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """Return what reads the templates: a name that they do not know is an error, not an empty place."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"short": short_name, "shown": shown}
    return found


def as_address(jpeg: bytes) -> str:
    """Return the bytes of a JPEG file as an address that holds them, so that a page needs no other file."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"


def short_name(layer: str) -> str:
    """Return a layer's name without what all of them have in common."""
    return layer.removeprefix("model.").removesuffix(".conv").removesuffix(".bn")


def shown(value: float | None, form: str, missing: str = MISSING) -> str:
    """Return a number in a format such as "{:.1f}", or what stands for one that is missing."""
    return missing if value is None else form.format(value)
