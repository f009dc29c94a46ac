"""Flags and what a script makes of errors."""

from dataclasses import dataclass

import pytest

from utils.cli.options import EXIT_BAD_INPUT, option, parse, run
from utils.errors import InputError


@dataclass
class Options:
    """Two flags."""

    share: float = option(0.5, "a share", minimum=0, below=1)
    kind: str = option("a", "a kind", choices=("a", "b"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--share", "nan"], "--share nan: must be at least 0 and below 1"),
        (["--share", "1"], "--share 1.0: must be below 1"),
        (["--share", "half"], "--share: invalid float value: 'half'; --help lists the flags"),
        (["--share"], "--share: expected one argument"),
        (["--kind", "c"], "--kind: invalid choice: 'c'"),
        (["--evolvee"], "unrecognized arguments: --evolvee; --help lists the flags"),
        (["--share", "0.1", "--evolve=300"], "--evolve: not supported; compare runs"),
    ],
)
def test_wrong_flags_are_one_line(words, message):
    with pytest.raises(InputError) as error:
        parse(Options, words)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("problem", [InputError("a.yaml: key b"), PermissionError(13, "Permission denied", "a.yaml")])
def test_a_script_ends_with_one_line_and_code_2(monkeypatch, capsys, problem):
    monkeypatch.setattr("sys.argv", ["x/script.py"])

    def main(options):
        raise problem

    with pytest.raises(SystemExit) as end:
        run(Options, main, "")
    said = capsys.readouterr().err
    assert end.value.code == EXIT_BAD_INPUT
    assert said.startswith("script.py: error: a.yaml: ") and said.count("\n") == 1


def test_errors_of_the_system_that_name_no_file_are_not_hidden(monkeypatch):
    monkeypatch.setattr("sys.argv", ["script.py"])

    def main(options):
        raise OSError(12, "Cannot allocate memory")

    with pytest.raises(OSError):
        run(Options, main, "")
