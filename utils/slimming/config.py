"""The config file of slim.py: its keys are the flags; those of an older pruning tool are understood too."""

import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from utils.cli.options import value_type
from utils.cli.values import read_value, unknown
from utils.errors import InputError
from utils.files.paths import find_file
from utils.files.yaml import read_mapping

OLDER = {  # key of the older tool → (key here, what it means)
    "finetuning_epochs": ("finetune_epochs", "epochs of fine-tuning in a step"),
    "stop_loss": ("stop_loss", "validation loss that no fine-tuned step may exceed"),
    "pruning_percent_step": ("share", "share of the current FLOPs that a step removes"),
    "pruning_standart_deviation_part": ("std_guard", "deviations below its layer's mean that a channel must lie to go"),
    "input_model_path": ("weights", "checkpoint to start from"),
    "output_model_path": ("out", "file to write the result to"),
}


def with_config(
    cls: type, given: dict[str, Any], replaces: Mapping[str, Collection[str]], say: Callable[[str], object] = print
) -> Any:
    """Return the options dataclass `cls` with {name: value} that are given and those of the file that `config` names.

    The file overrides the defaults, what is given overrides the file, and replaces what a name in `replaces` stands
    for there. `say` gets a line for every key of the older tool. Raises InputError for unknown keys and values of
    another type.
    """
    if not given.get("config"):
        return cls(**given)
    replaced = {key for name in given for key in replaces.get(name, ())}
    stored = read_config(cls, find_file(given["config"], "data", what="config file"), say)
    return cls(**{key: value for key, value in stored.items() if key not in replaced} | given)


def read_config(cls: type, file: Path, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Return {name of an option of `cls`: value} of a config file; empty values are left out. Raises InputError."""
    known, types = spellings(cls), typing.get_type_hints(cls)
    choices = {field.name: field.metadata["flag"].choices for field in fields(cls)}
    values = {}
    for key, value in read_mapping(file, "settings of slim.py").items():
        name = OLDER.get(key, (known.get(key),))[0]
        if name is None:
            raise InputError(f"{file}: {unknown(key, [*known, *OLDER], 'data/slim.yaml lists the keys')}")
        if name in values:
            raise InputError(f"{file}: {key!r}: is another name for {name!r}, which is given too")
        if value is None:
            continue
        if key in OLDER:
            say(f"{file}: {key} is taken as {name}: {OLDER[key][1]}")
        if isinstance(value, str) and value_type(types[name]) is float:
            value = number(value)  # 1e-2 is a text to YAML
        values[name] = read_value(file, key, value, types[name], choices[name])
    return values


def spellings(cls: type) -> dict[str, str]:
    """Return {key: name of the option}: names and other spellings of the flags, with underscores."""
    found: dict = {}
    for field in fields(cls):
        aliases = [alias.lstrip("-").replace("-", "_") for alias in field.metadata["flag"].aliases]
        found |= dict.fromkeys([field.name, *aliases], field.name)
    del found["config"]
    return found


def number(text: str) -> float | str:
    """Return a text as a number where it is one, otherwise as it is."""
    try:
        return float(text)
    except ValueError:
        return text
