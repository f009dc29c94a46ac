"""Flags."""

from dataclasses import dataclass

import pytest

from utils.cli.options import option, parse
from utils.errors import InputError


@dataclass
class Options:
    """Two flags."""

    share: float = option(0.5, "a share", minimum=0, below=1)
    kind: str = option("a", "a kind", choices=("a", "b"))
    kinship: int = option(0, "another flag that begins alike", "--relation", "--relative")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--share", "nan"], "--share nan: must be at least 0 and below 1"),
        (["--share", "1"], "--share 1.0: must be below 1"),
        (["--share", "half"], "--share: invalid float value: 'half'; --help lists the flags"),
        (["--share"], "--share: expected one argument"),
        (["--kind", "c"], "--kind: invalid choice: 'c'"),
        (["--quiet"], "unrecognized arguments: --quiet; --help lists the flags"),
        (["--shaer", "0.1"], "did you mean --share?"),
        (["--k", "c"], "--k: may be --kind, --kinship; write it out"),
        (["--share", "0.1", "--evolve=300"], "--evolve: not supported; compare runs"),
    ],
)
def test_wrong_flags_are_one_line(words, message):
    with pytest.raises(InputError) as error:
        parse(Options, words)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--sh", "0.25"], (0.25, 0)),
        (["--sha=0.25"], (0.25, 0)),
        (["--rel", "3"], (0.5, 3)),  # of two spellings of one flag
        ([], (0.5, 0)),
    ],
)
def test_unique_abbreviations_of_flags(words, values):
    found = parse(Options, words)
    assert (found.share, found.kinship) == values
