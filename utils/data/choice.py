"""A data set seen by a detector that knows some of its classes only: their labels, renumbered."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.data.config import DataConfig
from utils.data.samples import Samples

ANY_OBJECT = {0: "item"}  # the classes of a detector that was trained with --single-cls
KEPT_CLASSES = "kept_classes"  # key in the yaml of a network whose predictions were cut to some of the classes
SHOWN = 5  # class names in a message
ROWS = 20  # of class names side by side


@dataclass(frozen=True)
class ChosenClasses(DataConfig):
    """A DataConfig whose names are some of those of the `whole` data set, which its files are numbered by."""

    whole: Any = None  # DataConfig


def same_name(first: str, second: str) -> bool:
    """Tell whether two class names are the same; case and blanks around them do not matter."""
    return folded(first) == folded(second)


def folded(name: str) -> str:
    """Return what counts of a class name when two are compared."""
    return name.strip().casefold()


def same_classes(first: dict[int, str], second: dict[int, str]) -> bool:
    """Tell whether two lists of class names (index → name) are the same, in the same order."""
    return [*map(folded, first.values())] == [*map(folded, second.values())]


def side_by_side(data: dict[int, str], model: dict[int, str]) -> str:
    """Return a table of two lists of class names (index → name), those of the data and of a model."""
    count = max(len(data), len(model))
    rows = [("class", "data", "model", "")]
    for index in range(min(count, ROWS)):
        first, second = data.get(index, "-"), model.get(index, "-")
        rows.append((str(index), first, second, "" if same_name(first, second) else "<"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(map(str.ljust, row, [*widths, 1])).rstrip() for row in rows]
    return "\n".join(f"  {line}" for line in [*lines, *[f"and {count - ROWS} more"] * (count > ROWS)])


def is_single_class(names: dict[int, str]) -> bool:
    """Tell whether a detector with these classes (index → name) was trained to see every object as one class."""
    return names == ANY_OBJECT


def match_classes(config: DataConfig, names: dict[int, str], say: Callable[[str], None] = print) -> DataConfig:
    """Return a DataConfig as a detector with the classes `names` (index → name) sees it.

    A detector trained with --single-cls sees all classes as one. When the names are some of the classes of the data,
    the result has only them, and `say` gets a line about it. Where the
    yaml gives no names, or the same ones in another case, the classes are called as the detector calls them. Otherwise
    the config is returned as it is.
    """
    if is_single_class(names) and config.names != names:
        say(f"{config.file}: the model was trained with --single-cls; its {config.nc} classes count as one")
        return ChosenClasses(**{**vars(config), "names": dict(names)}, whole=config)
    spelled = {
        number: next((own for own in names.values() if same_name(own, name)), name)
        for number, name in config.names.items()
    }
    if len(names) == config.nc and (not config.named or spelled == names):
        return config if config.names == names else dataclasses.replace(config, names=dict(names))
    known = set(spelled.values())
    if len(names) >= config.nc or not known.issuperset(names.values()):
        return config
    shown = ", ".join([*names.values()][:SHOWN]) + (", …" if len(names) > SHOWN else "")
    say(f"{config.file}: the model knows {len(names)} of its {config.nc} classes ({shown}); other labels do not count")
    whole = dataclasses.replace(config, names=spelled)
    return ChosenClasses(**{**vars(config), "names": dict(names)}, whole=whole)


def choose_labels(samples: Samples, config: Any) -> Samples:
    """Return the Samples of a whole data set as those of a ChosenClasses: its classes only, with its numbers."""
    if is_single_class(config.names):
        return samples.renumbered(np.zeros(config.whole.nc, int))
    number = {name: index for index, name in config.names.items()}
    new = [number.get(name, -1) for _, name in sorted(config.whole.names.items())]  # old index → new, −1: none
    return samples.renumbered(np.array(new))
