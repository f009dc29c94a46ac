"""Files made to harm, given to every reader: each is taken or refused, soon, within memory, and runs nothing.

    python benchmarks/hostile.py

Checkpoints, yaml files, labels, lists, COCO json and images, with values that a reader does not expect at each place.
A case passes when the reader takes the file or raises InputError, within 5 s and 1 GB, and nothing was run or written
beside it. Prints the counts, and each case that fails.
"""

import os
import resource
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import cv2
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.hostile_cases import cases
from models.errors import SpecError
from utils.errors import InputError
from utils.progress import track

SECONDS, BYTES = 5.0, 1_000_000_000


def judge(read, file):
    """Return what is wrong with how a reader takes a file, '' when nothing is; in a process of its own."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        before = resident()
        try:
            found = ""
            with suppress(InputError, SpecError):
                read(file)
        except BaseException as error:  # noqa: BLE001 what else is raised is what is looked for
            found = f"{type(error).__name__}: {str(error)[:150]}"
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        found = found or (f"{grown / 1e9:.1f} GB" if grown > BYTES else "")
        os.write(sending, found.encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        found = pipe.read().decode()
    _, status, used = os.wait4(child, 0)
    seconds = used.ru_utime + used.ru_stime  # whatever else the machine is busy with
    if status:
        return f"ended with status {status}"
    return found or (f"{seconds:.1f} s" if seconds > SECONDS else "")


def resident():
    """Return the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(chosen=None):
    """Judge every case, or those that chosen(number) picks; return (Counter of readers, list of failures)."""
    torch.set_num_threads(1)  # a fork has no threads
    cv2.setNumThreads(0)
    counts, failures = Counter(), []
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        try:
            cases_done = track(cases(folder), "hostile files", unit="cases")
            for number, (reader, case, content, file, read) in enumerate(cases_done):
                if chosen and not chosen(number):
                    continue
                file.write_bytes(content() if callable(content) else content)
                counts[reader] += 1
                wrong = judge(read, file)
                if (folder / "harmed").exists():
                    wrong = "ran code"
                if wrong:
                    failures.append(f"{reader}: {case}: {wrong}")
        finally:
            os.chdir(home)
    return counts, failures


if __name__ == "__main__":
    counted, failed = run()
    print(*failed, sep="\n", end="\n" if failed else "")
    for reader, count in counted.items():
        print(f"{reader:12} {count:5d} cases")
    print(f"{'all':12} {counted.total():5d} cases, {len(failed)} failed")
