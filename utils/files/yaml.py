"""Reading YAML files that users write."""

from pathlib import Path
from typing import Any

from models.safe_yaml import YamlError, load_yaml
from utils.errors import InputError


def read_mapping(file: str | Path, content: str) -> dict[Any, Any]:
    """Return the mapping in a YAML file. `content` says in words what it maps.

    Raises InputError, with the line where it is known, when the file cannot be read, is not YAML or holds no mapping.
    """
    try:
        mapping = load_yaml(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); must be a YAML file with {content}") from None
    except YamlError as error:
        line = f":{error.line}" if error.line else ""
        raise InputError(f"{file}{line}: not valid YAML: {error}") from None
    if not isinstance(mapping, dict):
        raise InputError(f"{file}: must be a YAML mapping with {content}")
    return mapping
