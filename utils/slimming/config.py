"""The config file of slim.py: its keys are the flags; those of an older pruning tool are understood too."""

import difflib
import typing
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from utils.cli.options import build_parser, value_type
from utils.errors import InputError
from utils.files.paths import find_file
from utils.files.yaml import read_mapping
from utils.slimming.options import GOALS, PHASE_EPOCHS, SlimOptions
from utils.training.resume import check_type

OLDER = {  # key of the older tool → (key here, what it means)
    "finetuning_epochs": ("finetune_epochs", "epochs of fine-tuning in a step"),
    "stop_loss": ("stop_loss", "validation loss that no fine-tuned step may exceed"),
    "pruning_percent_step": ("share", "share of the current FLOPs that a step removes"),
    "pruning_standart_deviation_part": ("std_guard", "deviations below its layer's mean that a channel must lie to go"),
    "input_model_path": ("weights", "checkpoint to start from"),
    "output_model_path": ("out", "file to write the result to"),
}


def with_config(options: SlimOptions, argv: Sequence[str], say: Callable[[str], object] = print) -> SlimOptions:
    """Return the SlimOptions of a command line (list of words) and of the file that its --config names, if any.

    The file overrides the defaults, flags override the file; a size goal among the flags replaces that of the file, and
    --epochs the epochs of both phases there.
    `say` gets a line for every key of the older tool. Raises InputError for unknown keys and values of another type.
    """
    if not options.config:
        return options
    absent = object()
    parsed = build_parser(SlimOptions, "").parse_args(argv, Namespace(**dict.fromkeys(vars(options), absent)))
    given = {name: value for name, value in vars(parsed).items() if value is not absent}
    stored = read_config(find_file(options.config, "data", what="config file"), say)
    if set(GOALS).intersection(given):
        stored = {key: value for key, value in stored.items() if key not in GOALS}
    if "epochs" in given:
        stored = {key: value for key, value in stored.items() if key not in PHASE_EPOCHS}
    return SlimOptions(**{**stored, **given})


def read_config(file: Path, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Return {name of an option: value} of a config file; empty values are left out. Raises InputError."""
    known, types = spellings(), typing.get_type_hints(SlimOptions)
    values = {}
    for key, value in read_mapping(file, "settings of slim.py").items():
        name = OLDER.get(key, (known.get(key),))[0]
        if name is None:
            raise InputError(f"{file}: unknown key {key!r}{nearest(key, [*known, *OLDER])}")
        if name in values:
            raise InputError(f"{file}: {key!r}: is another name for {name!r}, which is given too")
        if value is None:
            continue
        if key in OLDER:
            say(f"{file}: {key} is taken as {name}: {OLDER[key][1]}")
        values[name] = converted(file, key, value, types[name])
        check_choice(file, key, values[name], name)
    return values


def spellings() -> dict[str, str]:
    """Return {key: name of the option}: names and other spellings of the flags, with underscores."""
    found: dict = {}
    for field in fields(SlimOptions):
        aliases = [alias.lstrip("-").replace("-", "_") for alias in field.metadata["flag"].aliases]
        found |= dict.fromkeys([field.name, *aliases], field.name)
    del found["config"]
    return found


def nearest(key: object, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown key: the key that may have been meant, or where all are listed."""
    close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "; data/slim.yaml lists the keys"


def converted(file: Path, key: str, value: Any, annotation: Any) -> Any:
    """Return a value of a file as its option has it, a list where one is asked for. Raises InputError."""
    if typing.get_origin(annotation) is list and not isinstance(value, list):
        value = [value]
    if isinstance(value, str) and value_type(annotation) is float:
        value = number(value)  # 1e-2 is a text to YAML
    if isinstance(value, bool) and value_type(annotation) is not bool:
        raise InputError(f"{file}: {key}: {value} must be of type {value_type(annotation).__name__}")
    check_type(file, key, value, annotation)
    return value


def number(text: str) -> float | str:
    """Return a text as a number where it is one, otherwise as it is."""
    try:
        return float(text)
    except ValueError:
        return text


def check_choice(file: Path, key: str, value: object, name: str) -> None:
    """Raise InputError when an option has a list of choices and a value is not among them."""
    flag = SlimOptions.__dataclass_fields__[name].metadata["flag"]
    if flag.choices and value not in flag.choices:
        raise InputError(f"{file}: {key}: {value!r} must be one of {', '.join(map(str, flag.choices))}")
