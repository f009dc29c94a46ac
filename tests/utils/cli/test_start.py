"""How scripts start and end: what they import for --help, and what they make of errors and interrupts."""

import ast
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, is_dataclass
from multiprocessing.pool import ThreadPool

import pytest

from utils.cli.options import option
from utils.cli.start import EXIT_BAD_INPUT, EXIT_INTERRUPTED, named, run
from utils.errors import InputError
from utils.files.paths import ROOT

HEAVY = ("torch", "torchvision", "cv2", "numpy", "matplotlib", "pandas", "PIL", "tqdm", "onnx", "onnxruntime")
# Flags that are wrong, alone or together, by script; each script is also asked for --help.
WRONG = {
    "train.py": ["--epochs", "0"],
    "train_sparsity.py": ["--sr", "0.01"],
    "prune.py": ["--flops", "0.5", "--percent", "0.5"],
    "finetune_pruned.py": ["--unlabelled", "photos", "--teacher", "none"],
    "slim.py": ["--steps", "1", "--activation", "Swish"],
    "val.py": ["--dnn"],
    "detect.py": ["--save-conf"],
    "export.py": ["--include", "keras"],
    "benchmark.py": ["--imgsz", "wide"],
    "demo.py": ["--percent", "1"],
    "make_shapes.py": ["--train", "0"],
    "make_shards.py": ["--photos", "0"],
}
# Runs each [script, words] and prints [exit code, heavy packages loaded so far] of each as JSON on the last line.
WALK = """
import json, runpy, sys
found = []
for script, words in json.loads(sys.argv[1]):
    sys.argv = [script, *words]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        found.append([end.code or 0, [name for name in {heavy} if name in sys.modules]])
print(json.dumps(found))
"""


@dataclass
class Options:
    """A flag."""

    share: float = option(0.5, "a share", minimum=0, below=1)


def targets(script):
    """Return what a script hands to `run`: the names of its options and of its work."""
    calls = [node for node in ast.walk(ast.parse((ROOT / script).read_text())) if isinstance(node, ast.Call)]
    return [argument.value for argument in next(call for call in calls if call.func.id == "run").args[:2]]


def test_every_script_is_in_the_table_and_names_what_exists():
    scripts = {file.name for file in ROOT.glob("*.py") if "utils.cli.start" in file.read_text()}
    assert scripts == set(WRONG)
    for script in scripts:
        options, work = map(named, targets(script))
        assert is_dataclass(options) and callable(work), script


def test_help_and_wrong_flags_load_nothing_heavy():
    cases = [[script, words] for script, wrong in WRONG.items() for words in (["--help"], wrong)]
    line = [sys.executable, "-c", WALK.replace("{heavy}", repr(HEAVY)), json.dumps(cases)]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    found = json.loads(result.stdout.splitlines()[-1])
    expected = [[0 if words == ["--help"] else EXIT_BAD_INPUT, []] for _, words in cases]
    assert list(zip(cases, found)) == list(zip(cases, expected)), result.stderr


def test_an_interrupted_import_ends_at_once_whatever_it_catches(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\nprint('importing', flush=True)\n"
        "try:\n    time.sleep(20)\nexcept BaseException:\n    pass\nprint('imported')\nwork = print\n"
    )
    (tmp_path / "begin.py").write_text(
        "from utils.cli.start import run\nrun('utils.demo.options:ShapesOptions', 'slow:work', '')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, str(tmp_path / "begin.py")]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=10)
    assert (process.returncode, said, error) == (EXIT_INTERRUPTED, "", "\nbegin.py: interrupted\n")


def test_an_ignored_interrupt_stays_ignored(monkeypatch):
    monkeypatch.setattr("sys.argv", ["script.py"])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run(Options, lambda options: os.kill(os.getpid(), signal.SIGINT), "")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


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


def test_output_that_nobody_takes_is_one_line(tmp_path):
    """A full disk is noticed when the rest of the output is written, at the very end."""
    (tmp_path / "says.py").write_text(
        "from utils.cli.start import run\nrun('utils.demo.options:ShapesOptions', print, '')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        line = [sys.executable, str(tmp_path / "says.py")]
        done = subprocess.run(line, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (EXIT_BAD_INPUT, "says.py: error: No space left on device\n")


def test_sigterm_ends_a_script_in_order(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["script.py"])
    undone = []

    def main(options):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            undone.append(True)

    with pytest.raises(SystemExit) as end:
        run(Options, main, "")
    assert (end.value.code, undone, capsys.readouterr().err) == (143, [True], "script.py: terminated\n")
    os.kill(os.getpid(), signal.SIGINT)  # the end is not interrupted


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


def test_signals_at_any_moment_of_a_busy_start_end_with_their_code(tmp_path):
    """Many at once keep each other busy; each is stopped at another moment: while it imports, or works."""
    (tmp_path / "begin.py").write_text(
        "from utils.cli.start import run\nrun('utils.demo.options:ShapesOptions', 'slow:work', '')\n"
    )
    (tmp_path / "slow.py").write_text(
        "print('importing', flush=True)\nimport time, asyncio, unittest.mock, xml.dom.minidom\n"
        "def work(options): time.sleep(20)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, str(tmp_path / "begin.py")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen(line, env=environment, **pipes) for _ in range(12)]
    found = []
    for number, process in enumerate(runs):
        assert process.stdout.readline() == "importing\n"
        time.sleep(0.01 * number)
        process.send_signal((signal.SIGINT, signal.SIGTERM)[number % 2])
    for process in runs:
        _, said = process.communicate(timeout=20)
        found.append((process.returncode, said.strip()))
    assert found == [(130, "begin.py: interrupted"), (143, "begin.py: terminated")] * 6


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_a_callback_that_drops_exceptions_still_ends_the_script(tmp_path, number, code):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys, time, weakref\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from utils.cli.start import run\n"
        "from utils.validation.options import ValidationOptions\n"
        "class Thing: pass\n"
        "def work(_):\n"
        "    thing = Thing()\n"
        f"    watch = weakref.ref(thing, lambda _: (signal.raise_signal({int(number)}), sum(range(9))))\n"
        "    del thing\n"
        "    time.sleep(20)\n"
        "run(ValidationOptions, work, '')\n"
    )
    words = [sys.executable, script, "--weights", "x.pt", "--data", "y.yaml"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, len(ended.stderr.strip().splitlines())) == (code, 1), ended.stderr
