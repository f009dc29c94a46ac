"""Options are typed dataclasses; each field is also a command-line flag, so the two cannot drift apart."""

import argparse
import dataclasses
import typing
from argparse import Namespace
from collections.abc import Container, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Any, NoReturn

from utils.cli.public_flags import FILES, INSTEAD, INSTEAD_OF_FILE
from utils.errors import InputError


@dataclasses.dataclass(frozen=True)
class Flag:
    """How a field is shown and checked on the command line."""

    help: str
    aliases: tuple[str, ...] = ()
    choices: tuple | None = None
    nargs: str | int | None = None
    const: object = None
    minimum: float | None = None  # smallest allowed value
    maximum: float | None = None  # largest allowed value
    below: float | None = None  # values must be smaller than this


def option(default: Any, help: str, *aliases: str, **rules: Any) -> Any:
    """Return a dataclass field that is also the flag --field-name (and its aliases).

    rules: choices, nargs, const, minimum, maximum, below; see Flag. A bool field is a switch (store_true).
    """
    metadata = {"flag": Flag(help, aliases, **rules)}
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def like(owner: type, name: str, **changes: Any) -> Any:
    """Return the option that another options dataclass has under a name, so that its text is written once.

    changes: default.
    """
    theirs = next(field for field in dataclasses.fields(owner) if field.name == name)
    if theirs.default is dataclasses.MISSING:
        return dataclasses.field(default_factory=theirs.default_factory, metadata=theirs.metadata)
    return dataclasses.field(default=changes.get("default", theirs.default), metadata=theirs.metadata)


def value_type(annotation: Any) -> Any:
    """Return the type that one word of the command line is converted to: int for `int | None` and for `list[int]`."""
    if typing.get_origin(annotation) in (UnionType, typing.Union):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        return value_type(inner[0])
    if typing.get_origin(annotation) is list:
        return typing.get_args(annotation)[0]
    return annotation


class FlagParser(argparse.ArgumentParser):
    """An argparse parser whose errors are the one line that every other bad input gives."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        unknown = message.removeprefix("unrecognized arguments: ").split() if message.startswith("unrec") else []
        names = {text.lstrip("-"): text for text in self.spellings()}  # the dashes, which all have, make none alike
        near = get_close_matches(unknown[0].partition("=")[0].lstrip("-"), names, 1) if unknown else []
        hint = f"did you mean {names[near[0]]}?" if near else "--help lists the flags"
        raise InputError(f"{message}; {hint}")

    def spellings(self) -> dict[str, argparse.Action]:
        """Return {spelling of a flag: its action}."""
        return {text: action for action in self._actions for text in action.option_strings}

    def written_out(self, words: Sequence[str]) -> list[str]:
        """Return the words of a command line with unique abbreviations of flags written out.

        Raises InputError for one that stands for several flags (argparse would also refuse those of one flag's two
        spellings), and for a flag, or a value of one, that only the public scripts have.
        """
        known, whole, flag = self.spellings(), [], ""
        for word in words:
            name, equals, value = word.partition("=")
            if name.startswith("--") and name != "--":
                flag = whole_flag(name, known)
                whole.append(flag + equals + value)
                refuse_foreign(flag, known)
            else:
                value = word
                whole.append(word)
            scheme, address, _ = value.partition("://")
            refuse_foreign(f"{flag} {scheme}{address}")
            if flag == "--weights" and value.rstrip("/").endswith(FILES):
                raise InputError(f"{flag} {value}: not supported; {INSTEAD_OF_FILE}")
        return whole


def whole_flag(flag: str, known: dict[str, argparse.Action]) -> str:
    """Return a flag that may be abbreviated as it is written out; an unknown one as it is. Raises InputError."""
    if flag in known or flag in INSTEAD:
        return flag
    meant = {id(action): text for text, action in reversed(known.items()) if text.startswith(flag)}
    if len(meant) > 1:
        raise InputError(f"{flag}: may be {', '.join(sorted(meant.values()))}; write it out")
    foreign = [text for text in INSTEAD if text.startswith(flag) and " " not in text]
    return next(iter([*meant.values(), *foreign]), flag)


def refuse_foreign(words: str, known: Container[str] = ()) -> None:
    """Raise InputError for a flag, or a flag and its value, that is not known here but to the public scripts."""
    if words in INSTEAD and words not in known:
        raise InputError(f"{words}: not supported; {INSTEAD[words]}")


def build_parser(cls: type, description: str | None, prog: str | None = None) -> FlagParser:
    """Return the parser of an options dataclass."""
    parser = FlagParser(
        prog=prog, description=description, allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    types = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        flag = field.metadata["flag"]
        spellings = list(dict.fromkeys(["--" + field.name.replace("_", "-"), *flag.aliases]))
        kind = value_type(types[field.name])
        factory: Any = field.default_factory
        default = factory() if field.default is dataclasses.MISSING else field.default
        shared = {"dest": field.name, "default": default, "help": flag.help}
        if kind is bool:
            parser.add_argument(*spellings, action="store_true", **shared)
        else:
            parser.add_argument(
                *spellings, type=kind, choices=flag.choices, nargs=flag.nargs, const=flag.const, **shared
            )
    return parser


def check(options: Any) -> None:
    """Raise InputError when a value of an options dataclass breaks the limits that its field states."""
    for field in dataclasses.fields(options):
        flag, value = field.metadata["flag"], getattr(options, field.name)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                continue
            limits = []
            if flag.minimum is not None and not number >= flag.minimum:  # "not >=" catches NaN as well
                limits.append(f"at least {flag.minimum:g}")
            if flag.maximum is not None and not number <= flag.maximum:
                limits.append(f"at most {flag.maximum:g}")
            if flag.below is not None and not number < flag.below:
                limits.append(f"below {flag.below:g}")
            if limits:
                name = field.name.replace("_", "-")
                raise InputError(f"--{name} {number}: must be {' and '.join(limits)}")


def parse(cls: type, words: Sequence[str]) -> Any:
    """Return the options dataclass `cls` that a command line gives, without a look at files that it names.

    Raises InputError for an unknown flag, a value of another type and one outside its limits.
    """
    options = cls(**given_flags(cls, words))
    check(options)
    return options


def given_flags(
    cls: type, words: Sequence[str], description: str | None = "", prog: str | None = None
) -> dict[str, Any]:
    """Return {field of an options dataclass: value} of the flags in a command line. Raises InputError as parse does."""
    parser, absent = build_parser(cls, description, prog), object()
    unset = Namespace(**{field.name: absent for field in dataclasses.fields(cls)})
    parsed = vars(parser.parse_args(parser.written_out(list(words)), unset))
    return {name: value for name, value in parsed.items() if value is not absent}


def settle(cls: Any, given: dict[str, Any]) -> Any:
    """Return the options dataclass `cls` as it applies when {name: value} are given, everything in it checked.

    A class whose options also come from files, such as those of the run to resume, reads them in its from_given; what
    its values mean together it judges in its check. Raises InputError or SpecError.
    """
    options = cls.from_given(**given) if hasattr(cls, "from_given") else cls(**given)
    check(options)
    if hasattr(options, "check"):
        options.check()
    return options
