"""Options of an interrupted run, read back from its folder."""

import dataclasses
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utils.cli.values import check_type
from utils.errors import InputError
from utils.files.paths import RunFolder
from utils.files.yaml import read_mapping

NEWEST = "newest"  # what a bare --resume means
PLACES = ("resume", "project", "name", "exist_ok")  # where runs are, not what they do
OWN_FLAGS = {"st": "train_sparsity.py", "teacher": "finetune_pruned.py"}  # a field that one script alone has
MACHINE = ("device", "workers")  # may differ on the machine that goes on


def resolve(options: Any) -> Any:
    """Return options as they apply: for --resume those of the interrupted run, except for the machine's.

    Raises InputError, also for a flag that is given and says something else than the run's.
    """
    if not options.resume:
        return options
    path = newest_checkpoint(options.project) if options.resume == NEWEST else Path(options.resume)
    if not path.is_file():
        raise InputError(f"--resume {path}: no such checkpoint; it should be the weights/last.pt of a run")
    folder = RunFolder(path.resolve().parent.parent)
    stored = read_mapping(folder.opt_yaml, "the options of the run, for --resume")
    fields = {field.name: field for field in dataclasses.fields(options)}
    began = script_of(stored)
    if began != script_of(fields):
        raise InputError(
            f"--resume {path}: the run was begun by {began}; python {began} --resume {path} goes on with it"
        )
    unknown = sorted(set(stored) - set(fields))
    if unknown:
        raise InputError(f"{folder.opt_yaml}: unknown key {unknown[0]!r}; was the run begun by a later version?")
    for key, value in stored.items():
        check_type(folder.opt_yaml, key, value, typing.get_type_hints(type(options))[key])
    settled = stored | {"resume": str(path), "hyp": str(folder.hyp_yaml)}
    given = {name: getattr(options, name) for name, field in fields.items() if getattr(options, name) != default(field)}
    for key, value in given.items():
        if key in stored and key not in PLACES + MACHINE and value not in (stored[key], settled[key]):
            flag, known = f"--{key.replace('_', '-')}", stored[key]
            raise InputError(f"{flag} {value}: the run to resume has {known}; leave {flag} out, or start a new run")
    machine = {key: given[key] for key in MACHINE if key in given}
    return dataclasses.replace(options, **settled | machine)


def script_of(names: Iterable[str]) -> str:
    """Return the training script whose options have these names."""
    return next((script for flag, script in OWN_FLAGS.items() if flag in names), "train.py")


def default(field: Any) -> Any:
    """Return the default of a dataclass field."""
    return field.default if field.default is not dataclasses.MISSING else field.default_factory()


def newest_checkpoint(project: str | Path) -> Path:
    """Return the last.pt below a folder of runs that was written last. Raises InputError when there is none."""
    found = sorted(Path(project).glob("*/weights/last.pt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(f"--resume: no */weights/last.pt in {project}; give the path of one")
    return found[-1]
