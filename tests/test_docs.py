"""The documents keep their word: links lead somewhere, paths exist, commands parse, both READMEs say the same."""

import ast
import importlib
import importlib.util
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from utils.cli.options import build_parser, parse
from utils.cli.start import named

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    file.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "examples/*/*.md")
    for file in ROOT.glob(pattern)
    if file.name != "CHANGELOG.md"  # it tells of what was
)
FOLDERS = "utils|docs|data|tests|models|benchmarks|examples"
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*[\w/]")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:python |`)([\w/]+\.py)((?: [^`\n#]*)?)")
MODULE = re.compile(r"\b[a-z_0-9]+\.py\b")
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?", re.ASCII)
IMPORT = re.compile(r"from ((?:utils|models)[\w.]*) import (\w+(?:, \w+)*)")
YOURS = re.compile(r"yours|DATA|images/|model\.onnx")  # what a reader puts in its place
ELSEWHERE = re.compile(r"data/(?!hyps/)(?!.*\.yaml$)|data/data\.yaml")  # layouts of other people's data
PLACEHOLDERS = {"SEED": "0", "T": "0.5", "S": "0.005", "P": "proximal"}
READMES = (Path("README.md"), Path("README.zh-CN.md"))
LONGEST_README = 150


def text_of(document):
    """Return the text of a document, given relative to the root."""
    return (ROOT / document).read_text(encoding="utf-8")


def slugs(text):
    """Return the anchors of a document's headings, as GitHub forms them."""
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def split_code(text):
    """Return (code lines without comments and blank ends, the text without its code), code being indented by four."""
    code, prose = [], []
    for line in text.splitlines():
        if line.startswith("    "):
            code.append(re.sub(r"\s+# .*", "", line).rstrip())
        else:
            prose.append(line)
    return code, "\n".join(prose)


def sections(text):
    """Return the prose under each heading, in order."""
    return re.split(r"(?m)^## .*$", split_code(text)[1])


def commands_of(text):
    """Return [(script, its words as a list)] of all commands with flags."""
    found = []
    for script, line in COMMAND.findall(text):
        words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line.replace("…", " "))]
        if words:
            found.append((script, words))
    return found


def options_of(script):
    """Return the options dataclass that a script hands to `run`, itself or as "module:name"."""
    tree = ast.parse((ROOT / script).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = next(call.args[0] for call in calls if getattr(call.func, "id", "") == "run")
    if isinstance(given, ast.Constant):
        return named(given.value)
    spec = importlib.util.spec_from_file_location(f"script_{Path(script).stem}", ROOT / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, given.id)


def spellings(options):
    """Return all flags of an options dataclass."""
    return {flag for action in build_parser(options, "")._actions for flag in action.option_strings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document):
    for target in LINK.findall(text_of(document)):
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        file = (ROOT / document.parent / path) if path else ROOT / document
        assert file.exists(), target
        if anchor:
            assert anchor in slugs(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_named_paths_exist(document):
    named = {path for path in PATH.findall(LINK.sub("", text_of(document))) if not YOURS.search(path)}
    missing = [path for path in named if not ELSEWHERE.match(path) and not (ROOT / path).exists()]
    assert not sorted(missing)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_commands_parse(document):
    for script, words in commands_of(text_of(document)):
        assert (ROOT / script).exists(), script
        if script.startswith("examples/"):  # has a parser of its own
            flags = [word for word in words if word.startswith("--")]
            assert all(f'"{flag}"' in (ROOT / script).read_text(encoding="utf-8") for flag in flags)
        elif len(words) == 1:  # a flag is named, its value left out
            assert words[0] in spellings(options_of(script)), (script, words)
        else:
            parse(options_of(script), words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_named_imports_work(document):
    for module, names in IMPORT.findall(text_of(document)):
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), (module, name)


def test_modules_named_in_comments_exist():
    sources = [file for folder in ("models", "utils") for file in (ROOT / folder).rglob("*.py")]
    known = {file.name for folder in (ROOT, ROOT / "benchmarks") for file in folder.glob("*.py")}
    known |= {file.name for file in [*sources, *(ROOT / "tests").rglob("*.py")]}
    named = {(file.name, name) for file in sources for name in MODULE.findall(file.read_text(encoding="utf-8"))}
    assert not sorted((file, name) for file, name in named if name not in known)


def test_commands_are_found():
    text = text_of("docs/GUIDE.md")
    assert len(commands_of(text)) >= 20
    assert {"prune.py", "slim.py", "train_sparsity.py", "finetune_pruned.py"} <= {s for s, _ in commands_of(text)}


@pytest.mark.parametrize("readme", READMES, ids=str)
def test_a_readme_takes_two_screens(readme):
    assert len(text_of(readme).splitlines()) <= LONGEST_README


def test_both_readmes_hold_the_same_code():
    english, chinese = (split_code(text_of(readme))[0] for readme in READMES)
    assert len(english) > 20
    assert english == chinese


def test_both_readmes_hold_the_same_numbers():
    english, chinese = (sections(text_of(readme)) for readme in READMES)
    assert len(english) == len(chinese) > 3
    for here, there in zip(english, chinese, strict=True):
        assert Counter(NUMBER.findall(here)) == Counter(NUMBER.findall(there))


def test_both_readmes_lead_to_the_same_places():
    english, chinese = (LINK.findall(text_of(readme)) for readme in READMES)
    other = {str(readme) for readme in READMES}
    assert [link for link in english if link not in other] == [link for link in chinese if link not in other]
