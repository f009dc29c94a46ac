"""Reading YAML files that users write."""

import yaml

from utils.errors import InputError


def read_mapping(file, content):
    """Return the mapping in a YAML file. `content` says in words what it maps.

    Raises InputError, with the line where it is known, when the file cannot be read, is not YAML or holds no mapping.
    """
    try:
        mapping = yaml.safe_load(file.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); must be a YAML file with {content}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: dates that no calendar has
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(f"{file}{line}: not valid YAML: {reason}") from None
    if not isinstance(mapping, dict):
        raise InputError(f"{file}: must be a YAML mapping with {content}")
    return mapping
