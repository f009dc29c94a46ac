"""Flags and what a script makes of errors."""

import threading
import time
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool

import pytest

from utils.cli.options import EXIT_BAD_INPUT, EXIT_INTERRUPTED, option, parse, run
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


def test_errors_of_the_system_that_name_no_file_are_one_line_too(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["script.py"])

    def main(options):
        raise OSError(28, "No space left on device")

    with pytest.raises(SystemExit) as end:
        run(Options, main, "")
    assert end.value.code == EXIT_BAD_INPUT
    assert capsys.readouterr().err == "script.py: error: No space left on device\n"


def test_a_script_that_is_stopped_waits_for_the_pools_it_leaves_and_for_nothing_else(monkeypatch):
    monkeypatch.setattr("sys.argv", ["script.py"])
    working, done, never = threading.Event(), [], threading.Event()

    def work(_):
        working.set()
        time.sleep(0.2)
        done.append(True)

    def main(options):
        threading.Thread(target=never.wait, daemon=True).start()
        with ThreadPool(1) as pool:
            pool.map_async(work, [0])
            working.wait()
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(SystemExit) as end:
        run(Options, main, "")
    never.set()
    assert end.value.code == EXIT_INTERRUPTED and done
    assert time.monotonic() - began < 4


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
