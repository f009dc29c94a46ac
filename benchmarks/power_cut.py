"""The power goes, again and again: does every resumed run end as the one that was never interrupted?

    python benchmarks/power_cut.py --trials 200

Small trainings on drawn images are killed (SIGKILL, all their processes) at random moments: some by the clock, some
inside a save, just before and just after a file gets its name. Each is resumed, some are killed once more, and what
they end with is compared: weights, optimizer, moving average, the state of what controls the sparsity, results.csv,
gamma.csv, final.json and every picture. Prints the counts, and each trial that fails.
"""

import os
import pathlib
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2  # noqa: E402
import torch  # noqa: E402
import torch._dynamo  # noqa: E402  (what the first optimizer loads, here once for all forks)
import torch.utils.tensorboard  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from benchmarks.small_runs import CASES, EPOCHS, Case, save_network, train_case  # noqa: E402
from models.yolo import DetectionModel  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run as run_script  # noqa: E402
from utils.data.shapes import draw_shapes  # noqa: E402
from utils.errors import InputError  # noqa: E402
from utils.files.checkpoint import load_checkpoint  # noqa: E402
from utils.files.paths import RunFolder  # noqa: E402
from utils.pictures import plots  # noqa: E402
from utils.pruning.options import PruneOptions  # noqa: E402
from utils.pruning.prune import prune_checkpoint  # noqa: E402

DEADLINE = 240  # seconds after which a run counts as hung
TWICE = 0.3  # share of the trials that are killed a second time


@dataclass
class PowerCutOptions:
    """Options of this script."""

    trials: int = option(200, "runs that are killed", minimum=1)
    seed: int = option(0, "start of the random numbers", minimum=0)


def prepare(folder: Path) -> None:
    """Write what the runs need into a folder: images, a dense and a pruned network."""
    data = draw_shapes(folder / "shapes", train=8, val=4, imgsz=32)
    save_network(data, folder / "dense.pt")
    prune_checkpoint(
        PruneOptions(
            weights=str(folder / "dense.pt"), out=str(folder / "pruned.pt"), percent=0.3, noval=True, yes=True, imgsz=64
        )
    )


def draw_quickly() -> None:
    """Let charts be small and laid out without care: they are compared, not looked at."""
    plots.DPI = 20
    plots.Figure = lambda layout=None, **size: Figure(**size)  # type: ignore[assignment, misc]


class Moments:
    """Counts the moments at which files get their names, and kills all processes of the run at a given one."""

    def __init__(self, at: int = -1) -> None:
        self.at, self.count = at, 0
        fsync, replace = os.fsync, pathlib.Path.replace

        def torn_fsync(descriptor: int) -> None:
            """Lose half of a file if this is the moment."""
            self.come(lambda: os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2))
            fsync(descriptor)

        def cut_replace(path: Path, target: Path) -> Path:
            """Be a moment before and after the renaming."""
            self.come()
            replace(path, target)
            self.come()
            return Path(target)

        os.fsync, pathlib.Path.replace = torn_fsync, cut_replace  # type: ignore[assignment, method-assign]

    def come(self, before: Callable[[], object] = lambda: None) -> None:
        """A moment has come."""
        if self.count == self.at:
            with suppress(OSError):
                before()
            os.killpg(0, signal.SIGKILL)
        self.count += 1


def start(case: Case, folder: Path, place: Path, resume: str = "", at: int = -1) -> int:
    """Start a run in processes of their own group, in the folder `place`; return the id of the group."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = []
    for rank in range(case.processes):
        ranks.append(os.fork())
        if ranks[-1] == 0:
            rank_work(case, folder, place, resume, at, rank, port)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in ranks]
    os._exit(max(map(abs, codes)))


def rank_work(case: Case, folder: Path, place: Path, resume: str, at: int, rank: int, port: int) -> None:
    """Do the work of one process of a run, and end it."""
    code = 1
    try:
        os.chdir(place)
        cv2.setNumThreads(0)
        draw_quickly()
        log = os.open(f"log{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        if case.processes > 1:
            world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": case.processes}
            os.environ.update({key: str(value) for key, value in world.items()})
            os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        moments = Moments(at) if rank == 0 else None
        train_case(case, folder, resume)
        if moments:
            Path("moments.txt").write_text(str(moments.count))
        code = 0
    except InputError as error:
        print(error, file=sys.stderr)
        code = 2
    except BaseException:  # noqa: BLE001 the child must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def await_end(group: int, seconds: float = DEADLINE) -> int | None:
    """Return the exit code of a run, or kill all of its processes after so many seconds and return None."""
    end = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(group, os.WNOHANG)
        if pid:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)  # workers of a killed one
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.killpg(group, signal.SIGKILL)
            os.waitpid(group, 0)
            return None
        time.sleep(0.01)


def run_folder(place: Path) -> RunFolder:
    """Return the folder of the newest run in a trial's folder."""
    runs = sorted((place / "runs").glob("exp*"), key=lambda path: int(path.name[3:] or 1))
    return RunFolder(runs[-1] if runs else place / "runs/exp")


def digest(value: object) -> str:
    """Return a text that tells contents of checkpoints apart, the date and the options left out."""
    if isinstance(value, DetectionModel):
        return digest({**value.state_dict(), "yaml": value.yaml, "names": value.names})
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{tuple(value.shape)}{sha256(value.contiguous().numpy().tobytes()).hexdigest()}"
    if isinstance(value, dict):
        return str({key: digest(item) for key, item in value.items() if key not in ("date", "opt")})
    if isinstance(value, (list, tuple)):
        return str([digest(item) for item in value])
    return repr(value)


def contents(folder: RunFolder) -> dict[str, str]:
    """Return {file of a run: what it holds}, without the logs that tell the time."""
    found = {}
    for file in sorted(path for path in folder.path.rglob("*") if path.is_file()):
        name = str(file.relative_to(folder.path))
        if file.name.startswith("events.out"):
            continue
        if file.suffix == ".pt":
            checkpoint = load_checkpoint(file)
            found[name] = digest([checkpoint.model, checkpoint.ema, checkpoint.entries])
        else:
            found[name] = sha256(file.read_bytes()).hexdigest()
    return found


def lost_epochs(folder: RunFolder) -> int:
    """Return how many epochs in results.csv the last.pt of a killed run lacks. Raises InputError for a bad one."""
    rows = len(folder.results_csv.read_text().splitlines()) - 1 if folder.results_csv.is_file() else 0
    if not folder.last.is_file():
        return rows
    checkpoint = load_checkpoint(folder.last)
    return rows - (EPOCHS if checkpoint.finished else int(checkpoint.entries["epoch"]) + 1)


@dataclass
class Reference:
    """What a run that was never interrupted leaves, how long it takes, and how many moments of writing it has."""

    contents: dict[str, str]
    seconds: float
    moments: int


def reference_of(case: Case, folder: Path, place: Path) -> Reference:
    """Return the Reference of a Case."""
    place.mkdir()
    began = time.monotonic()
    code = await_end(start(case, folder, place))
    if code != 0:
        raise RuntimeError(f"{case}: the run that nobody interrupts ends with {code}:\n{logs(place)}")
    seconds = time.monotonic() - began
    return Reference(contents(run_folder(place)), seconds, int((place / "moments.txt").read_text()))


def logs(place: Path) -> str:
    """Return the ends of what the processes of a run said."""
    return "".join(file.read_text(errors="replace")[-1500:] for file in sorted(place.glob("log*.txt")))


def cut(case: Case, folder: Path, place: Path, reference: Reference, rng: random.Random, resume: str) -> str:
    """Begin or resume a run and kill it at a random moment; return how that went, in a word."""
    by_clock = rng.random() < 0.5
    at = -1 if by_clock else rng.randrange(reference.moments)
    group = start(case, folder, place, resume, at)
    code = await_end(group, rng.uniform(0, 1.1 * reference.seconds) if by_clock else DEADLINE)
    if code is None or code == -signal.SIGKILL:
        return "killed by the clock" if by_clock else "killed in a save"
    return "ended first" if code in (0, 2) else f"ended with {code}"


def trial(case: Case, folder: Path, place: Path, reference: Reference, rng: random.Random) -> tuple[list[str], str]:
    """Kill, resume and compare; return (what happened, in words to count; what is wrong, '' when nothing is)."""
    place.mkdir()
    happened, resume = [], ""
    for _ in range(2 if rng.random() < TWICE else 1):
        happened.append(cut(case, folder, place, reference, rng, resume))
        stopped = run_folder(place)
        if happened[-1].startswith("ended with"):
            return happened, f"{happened[-1]}: {logs(place)}"
        if lost_epochs(stopped) > 1:
            return happened, f"{lost_epochs(stopped)} epochs were lost"
        resume = str(stopped.last.relative_to(place)) if stopped.last.is_file() else ""
        if not resume:
            shutil.rmtree(place / "runs", ignore_errors=True)
            happened[-1] += " before the first checkpoint"
    if not run_folder(place).final_json.is_file():
        code = await_end(start(case, folder, place, resume))
        if code != 0:
            return happened, f"the resumed run ended with {code}: {logs(place)}"
    found = contents(run_folder(place))
    unlike = [name for name in {*found, *reference.contents} if found.get(name) != reference.contents.get(name)]
    return happened, f"differs in {', '.join(sorted(unlike))}" if unlike else ""


def cut_power(trials: int, seed: int, cases: list[Case], say: Callable[[str], object]) -> tuple[Counter, list[str]]:
    """Run so many trials, the cases in turns; return (counts, failures). say: gets a line now and then."""
    torch.set_num_threads(1)  # a fork has no threads
    counts, failures, references = Counter(), [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for number in range(trials):
            case = cases[number % len(cases)]
            if case not in references:
                references[case] = reference_of(case, folder, folder / f"reference{len(references)}")
            place = folder / f"trial{number}"
            happened, wrong = trial(case, folder, place, references[case], random.Random(f"{seed} {number}"))
            counts.update([str(case), *happened, "differs" if wrong else "equal"])
            if wrong:
                failures.append(f"trial {number}: {case}: {' and '.join(happened)}: {wrong}")
                say(failures[-1])
            say(f"{number + 1} of {trials} trials, {len(failures)} failed")
            shutil.rmtree(place)
    return counts, failures


def main(options: PowerCutOptions) -> None:
    """Print the counts; end with exit code 1 when a trial fails."""
    counts, failures = cut_power(options.trials, options.seed, CASES, lambda line: print(line, flush=True))
    for words, count in sorted(counts.items()):
        print(f"{count:5d} {words}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    run_script(PowerCutOptions, main, __doc__)
