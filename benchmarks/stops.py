"""Errors and interrupts at any moment, in every script, on a busy machine: one line and the right exit code?

    python benchmarks/stops.py --count 50

Scripts get a data set with a bad label, or are interrupted (SIGINT, SIGTERM) at random moments, imports included,
while other processes keep the machine busy. A run passes when it ends with code 2, 130 or 143, or 0 if it was quicker,
and says no traceback and nothing of an abort. A signal before the script's first lines, while Python itself starts, is
counted apart: Python then ends as it likes. Prints the counts, and each run that fails.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.busy import burning  # noqa: E402
from benchmarks.small_runs import save_network  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run as run_script  # noqa: E402
from utils.data.shapes import draw_shapes  # noqa: E402
from utils.files.paths import ROOT  # noqa: E402

COMMON = "--imgsz 64 --device cpu --workers 2"
TRAINING = f"{COMMON} --data DATA --batch-size 4 --epochs 3 --project OUT --weights net.pt"
COMMANDS = {
    "train.py": TRAINING,
    "train_sparsity.py": f"{TRAINING} --st --sr auto --target 0.3",
    "finetune_pruned.py": f"{TRAINING} --teacher net.pt",
    "val.py": f"{COMMON} --data DATA --weights net.pt --project OUT",
    "prune.py": f"{COMMON} --data DATA --weights net.pt --out OUT.pt --percent 0.3 --yes",
    "detect.py": "--weights net.pt --source shapes/images/val --imgsz 64 --device cpu --project OUT",
    "export.py": "--weights net.pt --include onnx --imgsz 64",
    "benchmark.py": "--weights net.pt --imgsz 64 --project OUT",
    "slim.py": "--weights net.pt --data DATA --imgsz 64 --batch-size 4 --steps 1 --epochs 1 --flops 0.8 --project OUT",
    "demo.py": "--out OUT",
    "make_shapes.py": "--out OUT --train 200 --val 50",
}
READERS = ("train.py", "val.py", "prune.py")  # that are given the bad label
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
FORBIDDEN = ("Traceback", "terminate called", "Exception ignored", "Aborted", "Segmentation", "core dumped")
LONGEST = 120.0  # seconds that a run may take after its signal


@dataclass
class StopsOptions:
    """Options of this script."""

    count: int = option(50, "runs with a bad label, and as many with a signal", minimum=1)
    seconds: float = option(20.0, "latest moment of a signal", minimum=0)
    load: int = option(2, "processes that keep the machine busy", minimum=0)
    seed: int = option(0, "start of the random numbers", minimum=0)


def prepare(folder: Path) -> None:
    """Write a network and two data sets, one with a bad label, into a folder."""
    data = draw_shapes(folder / "shapes", train=16, val=8, imgsz=64)
    bad = draw_shapes(folder / "bad", train=16, val=8, imgsz=64)
    for split in ("train", "val"):
        (bad.parent / f"labels/{split}/000003.txt").write_text("0 0.5 x 0.1 0.1\n")
    save_network(data, folder / "net.pt")


def judged(
    folder: Path, script: str, data: str, number: int, stop: tuple[signal.Signals, float] | None
) -> tuple[str, str]:
    """Run a script, with a signal after so many seconds; return (how it ended, what is wrong, '' when nothing is)."""
    words = COMMANDS[script].replace("DATA", f"{data}/shapes.yaml").replace("OUT", f"out{number}").split()
    line, begun = [sys.executable, str(ROOT / script), *words], True
    with subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if stop:
            begun = takes_signals(process, stop[1])
            process.send_signal(stop[0])
        try:
            out, said = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            return "no end", f"still running {LONGEST:g} s later"
    code, allowed = process.returncode, [0, SIGNALS[stop[0]]] if stop else [2]
    if not begun and code not in allowed:
        return "before the script's first lines", ""
    wrong = f"exit code {code}" if code not in allowed else ""
    wrong = wrong or next((f"says {word!r}" for word in FORBIDDEN if word in said + out), "")
    return f"exit code {code}", f"{wrong}: {said[-700:]}" if wrong else ""


def takes_signals(process: subprocess.Popen, seconds: float) -> bool:
    """Wait so many seconds, or for the end of a process; tell whether it has taken SIGTERM into its hands by then."""
    end, status, taken = time.monotonic() + seconds, Path(f"/proc/{process.pid}/status"), False
    while process.poll() is None:
        with suppress(OSError):
            caught = int(status.read_text().partition("SigCgt:")[2].split()[0], 16)
            taken = taken or bool(caught >> (signal.SIGTERM - 1) & 1)
        if time.monotonic() > end:
            break
        time.sleep(min(0.01, max(end - time.monotonic(), 0)))
    return taken or process.poll() is not None


def try_stops(options: StopsOptions, say: Callable[[str], object]) -> tuple[Counter, list[str]]:
    """Return (counts, failures); say gets a line for each run."""
    rng, counts, failures = random.Random(options.seed), Counter(), []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it
    with tempfile.TemporaryDirectory() as name, burning(options.load):
        prepare(Path(name))
        for number in range(2 * options.count):
            bad = number < options.count
            scripts = READERS if bad else tuple(COMMANDS)
            script = scripts[number % len(scripts)]
            moment = rng.choice(list(SIGNALS)), rng.uniform(0.05, options.seconds)
            ended, wrong = judged(Path(name), script, "bad" if bad else "shapes", number, None if bad else moment)
            what = "a bad label" if bad else f"{moment[0].name} after {moment[1]:.2f} s"
            counts.update(["a bad label" if bad else moment[0].name, ended])
            if wrong:
                failures.append(f"{script}: {what}: {wrong}")
            say(f"{script}: {what}: {wrong or ended}")
    return counts, failures


def main(options: StopsOptions) -> None:
    """Print the counts; end with exit code 1 when a run fails."""
    began = time.monotonic()
    counts, failures = try_stops(options, lambda line: print(line, flush=True))
    for words, count in sorted(counts.items()):
        print(f"{count:5d} {words}")
    print(f"{2 * options.count} runs, {len(failures)} failed, {time.monotonic() - began:.0f} s, {os.cpu_count()} cores")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    run_script(StopsOptions, main, __doc__)
