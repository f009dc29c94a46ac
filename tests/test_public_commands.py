"""The command lines of the public README, tutorials and notebooks: accepted, or refused with what to use instead."""

import re
import shlex

import pytest

from utils.benchmark.options import BenchmarkOptions
from utils.cli.options import build_parser, parse
from utils.cli.public_flags import INSTEAD, INSTEAD_OF_FILE
from utils.detection.options import DetectOptions
from utils.errors import InputError
from utils.export.options import ExportOptions
from utils.files.paths import ROOT
from utils.training.options import TrainOptions
from utils.validation.options import ValidationOptions

TABLE = ROOT / "tests/public_commands.txt"
OPTIONS = {
    "train.py": TrainOptions,
    "val.py": ValidationOptions,
    "detect.py": DetectOptions,
    "export.py": ExportOptions,
    "benchmark.py": BenchmarkOptions,
}


def lines(section):
    """Return the command lines of a section of the table."""
    text = TABLE.read_text().partition(f"[{section}]\n")[2].partition("\n[")[0]
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def read(line):
    """Return the options that a command line gives, checked as the script does it."""
    words = shlex.split(line)
    start = next(i for i, word in enumerate(words) if word.endswith(".py"))
    options = parse(OPTIONS[words[start]], words[start + 1 :])
    if hasattr(options, "check"):
        options.check()


@pytest.mark.parametrize("line", lines("accepted"))
def test_accepted(line):
    read(line)


@pytest.mark.parametrize("line", lines("refused"))
def test_refused_with_what_to_use_instead(line):
    with pytest.raises(InputError) as error:
        read(line)
    flag, instead = re.match(r"(--[\w-]+(?: [\w:/.]+)?): not supported; (.+)", str(error.value)).groups()
    assert all(word in line.replace("=", " ") or word.startswith("--linear") for word in flag.split())
    assert "--help" not in instead and "did you mean" not in instead


def test_what_to_use_instead_is_there():
    known = {text for options in OPTIONS.values() for text in build_parser(options, "").spellings()}
    for flag, instead in [*INSTEAD.items(), ("--weights", INSTEAD_OF_FILE)]:
        named = set(re.findall(r"--[\w-]+", instead))
        assert named <= known, (flag, named - known)
        for form in re.findall(r"--include (\w+)", instead):
            parse(ExportOptions, ["--include", form])
        for script in re.findall(r"\w+\.py", instead):
            assert (ROOT / script).is_file(), (flag, script)


@pytest.mark.parametrize("line", lines("elsewhere"))
def test_scripts_that_are_not_here_stand_in_the_document_with_what_is(line):
    script = line.split()[1]
    rows = [row for row in (ROOT / "docs/PARITY.md").read_text().splitlines() if f"`{script}`" in row]
    assert not (ROOT / script).exists() and len(rows) == 1 and rows[0].startswith("| ")
