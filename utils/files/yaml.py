"""Reading YAML files that users write."""

from pathlib import Path
from typing import Any

from models.safe_yaml import YamlError, load_mapping
from utils.errors import InputError


def read_mapping(file: str | Path, content: str) -> dict[Any, Any]:
    """Return the mapping in a YAML file. `content` says in words what it maps.

    Raises InputError, with the line where it is known, when the file cannot be read, is not YAML or holds no mapping.
    """
    try:
        return load_mapping(file, content)
    except YamlError as error:
        raise InputError(str(error)) from None
