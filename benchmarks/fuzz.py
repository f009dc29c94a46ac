"""Noise in the files that strangers bring: every reader takes each file or refuses it with the project's own error.

    python benchmarks/fuzz.py --seconds 3600

Good files are changed at random (bytes, lines, numbers, parts of each other) and given to the readers of labels, data
yaml, model yaml, slim.yaml, lists of photos, COCO json, VOC xml, the metadata of exported files and checkpoints. What
else is raised, or takes longer than 5 s of the processor, is printed once for each place in the source, and its file
is kept.
"""

import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch  # noqa: E402
import yaml  # noqa: E402

from benchmarks.cases.exports import FACTS, read_facts  # noqa: E402
from benchmarks.cases.values import ODD, TINY  # noqa: E402
from benchmarks.hostile_cases import COCO, LABELS, data_set  # noqa: E402
from models.errors import SpecError  # noqa: E402
from models.yolo import DetectionModel  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run as run_script  # noqa: E402
from utils.data.config import load_data, split_images  # noqa: E402
from utils.data.formats.voc import read_voc_file  # noqa: E402
from utils.data.formats.yolo import read_label_file  # noqa: E402
from utils.data.splits import load_split  # noqa: E402
from utils.errors import InputError  # noqa: E402
from utils.files.checkpoint import checkpoint_bytes, finished_content, load_checkpoint  # noqa: E402
from utils.files.paths import ROOT  # noqa: E402
from utils.slimming.config import read_config  # noqa: E402
from utils.slimming.options import SlimOptions  # noqa: E402

LONGEST = 5  # seconds of the processor for one file
TOKENS = [b"nan", b"inf", b"-1", b"1e400", b"0", b"9" * 30, b"null", b"[", b"{", b"&a *a", b"\x00", b"\xff"]
TOKENS += [b"\xed\xa0\x80", b"!!python/object:x", b"<!ENTITY a 'b'>"]
TOKENS += [str(value).encode("utf-8", "replace")[:50] for value in ODD.values()]
LISTS = [b"images/0.png\n", b"./images/0.png\r\n'images/0.png'\n", b"C:\\data\\images\\0.png\n/x/images/0.png\n"]
MEMORY = "/dev/shm"  # files there take a tenth of the time
XML = (
    "<annotation><size><width>32</width><height>32</height><depth>3</depth></size><object><name>a</name>"
    "<difficult>0</difficult><bndbox><xmin>4</xmin><ymin>4</ymin><xmax>12</xmax><ymax>12</ymax></bndbox>"
    "</object></annotation>"
)


class Slow(BaseException):
    """A file takes too long."""


@dataclass
class FuzzOptions:
    """Options of this script."""

    seconds: float = option(60.0, "how long to go on", minimum=0)
    seed: int = option(0, "start of the random numbers", minimum=0)
    keep: str = option("runs/fuzz", "folder for the first file that fails at each place")


@dataclass
class Reader:
    """A reader, the good files that its noise is made of, how often it gets its turn, and where the noise lies."""

    name: str
    read: Callable[[Path], Any]
    seeds: list[bytes]
    turns: int
    file: Path


def readers(folder: Path) -> list[Reader]:
    """Return the Readers; what they need is written into a folder."""
    data = data_set(folder)
    model = DetectionModel(TINY)
    image = folder / "images/0.png"
    coco = folder / "coco.yaml"
    coco.write_text(yaml.safe_dump({**data, "train": "noise.json"}))

    def read_coco(file: Path) -> None:
        """Read the data yaml whose json the noise is."""
        load_split(load_data(coco), "train", progress=False)

    photos = folder / "photos.yaml"
    photos.write_text(yaml.safe_dump({**data, "train": "noise.lst.txt"}))

    def read_list(file: Path) -> None:
        """Find the photos that a list names."""
        split_images(load_data(photos), "train")

    def read_xml(file: Path) -> None:
        """Read the labels of an image."""
        read_voc_file(file, image, (32, 32), {0: "a"})

    slim = [(ROOT / "data/slim.yaml").read_bytes(), b"steps: 3\nmax_drop: 0.01\nweights: a.pt\n"]
    facts = [text.encode("utf-8", "surrogatepass")[:400] for text in FACTS]
    texts = [text.encode()[:400] for text in LABELS]
    return [
        Reader("labels", lambda file: read_label_file(file, 2), texts, 40, folder / "noise.txt"),
        Reader("list", read_list, LISTS, 15, folder / "noise.lst.txt"),
        Reader("metadata", read_facts, facts, 15, folder / "noise.facts.txt"),
        Reader("VOC xml", read_xml, [XML.encode()], 25, folder / "noise.xml"),
        Reader("data yaml", load_data, [yaml.safe_dump(data).encode()], 10, folder / "noise.yaml"),
        Reader("slim.yaml", lambda file: read_config(SlimOptions, file), slim, 10, folder / "noise.yaml"),
        Reader("model yaml", DetectionModel, [yaml.safe_dump(TINY).encode()], 5, folder / "noise.yaml"),
        Reader("COCO json", read_coco, [json.dumps(COCO).encode()], 5, folder / "noise.json"),
        Reader("checkpoint", load_checkpoint, [checkpoint_bytes(finished_content(model))], 5, folder / "noise.pt"),
    ]


def noise(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return one of the good files with one to six random changes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        place, kind = rng.randrange(len(data) + 1), rng.randrange(7)
        if kind == 0 and data:
            data[place % len(data)] = rng.randrange(256)
        elif kind == 1:
            data[place:place] = rng.choice(TOKENS)
        elif kind == 2:
            del data[place : place + rng.randint(1, 20)]
        elif kind == 3:
            data[place:place] = data[place : place + rng.randint(1, 60)] * rng.randint(1, 4)
        elif kind == 4:
            numbers = list(re.finditer(rb"-?\d+(\.\d+)?", data))
            if numbers:
                found = rng.choice(numbers)
                data[found.start() : found.end()] = rng.choice(TOKENS)
        elif kind == 5:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[place:] = other[start:]
        else:
            lines = data.split(b"\n")
            rng.shuffle(lines)
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def found_wrong(reader: Reader, content: bytes) -> str:
    """Return where and how a reader fails on a content, '' when it takes or refuses it."""
    reader.file.write_bytes(content)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        reader.read(reader.file)
    except (InputError, SpecError):
        return ""
    except BaseException as error:  # noqa: BLE001 what else is raised is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if str(ROOT) in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        return f"{reader.name}: {place}: {type(error).__name__}: {str(error)[:100]!r}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return ""


def fuzz(seconds: float, seed: int) -> Iterator[tuple[Reader, bytes, str]]:
    """Yield (reader, content, what is wrong or '') of one noisy file after the other, for so many seconds."""
    rng, end = random.Random(seed), time.monotonic() + seconds

    def too_slow(*_: object) -> None:
        """Stop the reader."""
        raise Slow(f"longer than {LONGEST} s")

    before = signal.signal(signal.SIGVTALRM, too_slow)
    try:
        memory = MEMORY if os.access(MEMORY, os.W_OK) else None
        with tempfile.TemporaryDirectory(dir=memory) as name, open(os.devnull, "w") as nowhere:
            known = readers(Path(name))
            turns = [reader.turns for reader in known]
            while time.monotonic() < end:
                (reader,) = rng.choices(known, turns)
                content = noise(rng, reader.seeds)
                with redirect_stdout(nowhere), redirect_stderr(nowhere):
                    wrong = found_wrong(reader, content)
                yield reader, content, wrong
    finally:
        signal.signal(signal.SIGVTALRM, before)


def main(options: FuzzOptions) -> None:
    """Print each kind of failure once, and the counts; end with exit code 1 when there is one."""
    torch.set_num_threads(1)
    counts, failures, keep = Counter(), Counter(), Path(options.keep)
    for reader, content, wrong in fuzz(options.seconds, options.seed):
        counts[reader.name] += 1
        if not wrong:
            continue
        place = wrong.partition("Error")[0]
        failures[place] += 1
        if failures[place] == 1:
            keep.mkdir(parents=True, exist_ok=True)
            file = keep / f"seed{options.seed}-{len(failures)}{reader.file.suffix}"
            file.write_bytes(content)
            print(f"{wrong}; see {file}", flush=True)
    for name, count in counts.items():
        print(f"{name:12} {count:9,}")
    print(f"{'all':12} {counts.total():9,} files, {failures.total()} failures at {len(failures)} places")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    run_script(FuzzOptions, main, __doc__)
