"""YAML of unknown origin, read within limits: how large, how deep, no key twice, no aliases."""

from pathlib import Path
from typing import Any

import yaml

from models import limits

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same language, read by libyaml where it is there


class YamlError(ValueError):
    """A text is no YAML that may be read; `line` is counted from 1, None where it is not known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def load_yaml(path: str | Path) -> Any:
    """Return the content of a YAML file: plain values only.

    Raises OSError when it cannot be read and YamlError for whatever is wrong with its text.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise OSError(0, "no regular file", str(path))
    if path.stat().st_size > limits.TEXT_BYTES:
        raise YamlError(
            f"{path.stat().st_size:,} bytes; a description of a network or data set has at most {limits.TEXT_BYTES:,}"
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        check_events(text)
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            check_keys(node)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except YamlError:
        raise
    except Exception as error:  # constructors raise anything: dates that no calendar has, numbers that are none
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or error or type(error).__name__
        raise YamlError(" ".join(str(reason).split()) or type(error).__name__, mark and mark.line + 1) from None


def load_mapping(path: str | Path, content: str) -> dict[Any, Any]:
    """Return the mapping in a YAML file. `content` says in words what it maps.

    Raises YamlError, with file and line in its text, when the file cannot be read, is not YAML or holds no mapping.
    """
    try:
        mapping = load_yaml(path)
    except OSError as error:
        raise YamlError(f"{path}: cannot be read ({error.strerror}); must be a YAML file with {content}") from None
    except YamlError as error:
        line = f":{error.line}" if error.line else ""
        raise YamlError(f"{path}{line}: not valid YAML: {error}", error.line) from None
    if not isinstance(mapping, dict):
        raise YamlError(f"{path}: must be a YAML mapping with {content}")
    return mapping


def check_events(text: str) -> None:
    """Raise YamlError for aliases and for nesting that is too deep, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):  # a page of them can stand for billions of values
            raise YamlError(f"the alias *{event.anchor}: write the values out", line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > limits.TEXT_DEPTH:
            raise YamlError(f"more than {limits.TEXT_DEPTH} lists inside each other", line)


def check_keys(node: Any) -> None:
    """Raise YamlError for a key that stands twice in one mapping of a node tree, where the second would win."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            check_keys(child)
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        name = key.tag, str(key.value)
        if name in seen:
            raise YamlError(f"the key {str(key.value)[:50]!r} stands twice", key.start_mark.line + 1)
        seen.add(name)
        check_keys(value)
