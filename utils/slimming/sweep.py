"""The sweep: several models, each slimmed by several shares, and which of the results no other one beats."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from utils.benchmark.latency import measure_latency
from utils.benchmark.pareto import front
from utils.data.config import label_rules, load_data
from utils.data.splits import require_objects
from utils.files.checkpoint import load_checkpoint
from utils.files.downloads import find_weights
from utils.files.paths import new_run
from utils.files.typed_json import read_json, write_json
from utils.slimming.options import SlimOptions
from utils.slimming.slim import BEST, slim
from utils.slimming.state import FILE, VERSION, Measurement, SlimRun, read_state, unfinished

SWEEP = "sweep.json"
USUAL_DROP = 0.01  # mAP50-95 below the most accurate: within it the fastest is recommended


@dataclass
class Row:
    """A row of the sweep's table: the start of a model, or what one of its runs delivered."""

    model: str  # path as it was given
    share: float  # of the FLOPs that was to be removed; 0 for a start
    file: str
    gflops: float
    parameters: int
    map: float
    ms: float  # milliseconds an image in --runtime
    unbeaten: bool = False  # none of the others is as fast and more accurate


@dataclass(kw_only=True)
class SweepState:
    """The content of sweep.json."""

    version: Literal[1]
    options: dict[str, Any]
    begun: str  # date and time
    finished: bool
    rows: list[Row]
    recommended: str | None  # in words


def slim_or_sweep(options: SlimOptions) -> None:
    """Do what slim.py does: slim one model, or with `sweep` several. Raises InputError."""
    if options.sweep:
        sweep(options)
    else:
        slim(options)


def sweep(
    options: SlimOptions,
    *,
    now: Callable[[], datetime] = datetime.now,
    latency: Callable[..., dict] = measure_latency,
    reports: bool = True,
) -> list[Row]:
    """Slim every model by every share as SlimOptions with `sweep` say, or go on with that; return the table's rows.

    latency, reports: as for `slim`. Raises InputError.
    """
    folder, state = begin(options, now)
    runs = planned_runs(options, folder)
    finished = []
    for number, (name, run) in enumerate(runs.items(), 1):
        tqdm.write(f"\n{number}/{len(runs)} {name}: {run.weights[0]}, {1 - run.flops:.0%} of the FLOPs to go")
        finished.append(finished_run(folder / name) or slim(run, latency=latency, reports=reports))
    state.rows = compare_runs(options, runs.values(), finished, latency)
    state.recommended, state.finished = recommendation(options, state.rows), True
    tqdm.write(f"\n{table(state.rows)}\n{state.recommended}")
    write_json(folder / SWEEP, state)
    return state.rows


def begin(options: SlimOptions, now: Callable[[], datetime] = datetime.now) -> tuple[Path, SweepState]:
    """Check a sweep and write its sweep.json, or find the unfinished one; return (folder, its state).

    Raises InputError.
    """
    options.check()
    for file in options.weights:
        load_checkpoint(find_weights(file))  # a wrong one is found before days of training
    require_objects(load_data(options.data, label_rules(options)), "val", "--sweep", max(options.workers, 1))
    folder = unfinished(options, SWEEP, read_sweep) or new_run(options.project, options.name)
    state = SweepState(
        version=VERSION,
        options=options.settings(),
        begun=now().isoformat(timespec="seconds"),
        finished=False,
        rows=[],
        recommended=None,
    )
    state = read_sweep(folder / SWEEP) if (folder / SWEEP).is_file() else state
    write_json(folder / SWEEP, state)
    return folder, state


def read_sweep(file: Path) -> SweepState:
    """Return the content of a sweep.json. Raises InputError that names the file and the key."""
    return read_json(file, SweepState, "the state of a sweep")


def planned_runs(options: SlimOptions, folder: Path) -> dict[str, SlimOptions]:
    """Return {name: SlimOptions} of a sweep's runs, named after the models' files, numbered where these are alike."""
    stems = [Path(file).stem for file in options.weights]
    runs = {}
    for number, (file, stem) in enumerate(zip(options.weights, stems, strict=True), 1):
        label = stem if stems.count(stem) == 1 else f"{stem}{number}"
        for share in options.shares:
            name = f"{label}-{share * 100:g}percent"
            runs[name] = dataclasses.replace(
                options,
                weights=[file],
                flops=round(1 - share, 9),
                latency_ms=None,
                runtime="torch",
                sweep=False,
                config="",
                project=str(folder),
                name=name,
            )
    return runs


def finished_run(folder: Path) -> SlimRun | None:
    """Return the run in a folder of the sweep if it is finished, otherwise None."""
    done = (folder / FILE).is_file() and read_state(folder / FILE).finished
    return SlimRun.read(folder) if done else None


def compare_runs(
    options: SlimOptions,
    runs: Iterable[SlimOptions],
    finished: Iterable[SlimRun],
    latency: Callable[..., dict] = measure_latency,
) -> list[Row]:
    """Return the table: the start of every model and what every run delivered, with times taken in turns.

    runs, finished: the options of each run, and what came of it.
    """
    rows, seen = [], set()
    for run, done in zip(runs, finished, strict=True):
        model = run.weights[0]
        if model not in seen:
            seen.add(model)
            rows.append(row(model, 0.0, done.folder / done.state.start.file, done.state.start))
        rows.append(row(model, round(1 - run.flops, 9), done.folder / BEST, done.state.networks[-1]))
    models = {place: load_checkpoint(entry.file).model for place, entry in enumerate(rows)}
    size = max(model.fitting_size(options.imgsz) for model in models.values())
    for place, ms in latency(models, size, options.runtime).items():
        rows[place].ms = ms
    for place in front([(entry.ms, entry.map) for entry in rows]):
        rows[place].unbeaten = True
    return rows


def row(model: str, share: float, file: Path, found: Measurement) -> Row:
    """Return the Row of a network; its time is still that of its own run."""
    return Row(model, share, str(file), found.gflops, found.parameters, found.map, found.ms)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text; * marks what no other one is faster and more accurate than."""
    width = max(len("model"), *(len(entry.model) for entry in rows))
    lines = [f"  {'model':<{width}}{'share':>8}{'GFLOPs':>9}{'parameters':>12}{'ms':>9}{'mAP50-95':>10}"]
    for entry in sorted(rows, key=lambda entry: entry.ms):
        mark = "*" if entry.unbeaten else " "
        lines.append(
            f"{mark} {entry.model:<{width}}{entry.share:>8.2f}{entry.gflops:>9.3f}"
            f"{entry.parameters:>12,}{entry.ms:>9.2f}{entry.map:>10.4f}"
        )
    return "\n".join([*lines, "* none of the others is as fast and more accurate"])


def recommendation(options: SlimOptions, rows: Sequence[Row]) -> str:
    """Return which row to take, and why, in one sentence."""
    best = max(entry.map for entry in rows)
    if options.latency_ms is not None:
        limit = f"{options.latency_ms:g} ms in {options.runtime}"
        fitting = [entry for entry in rows if entry.ms <= options.latency_ms]
        if not fitting:
            fastest = min(rows, key=lambda entry: entry.ms)
            return f"recommended: none takes at most {limit}; the fastest is {described(fastest)}"
        return f"recommended: {described(max(fitting, key=lambda entry: entry.map))}, the most accurate within {limit}"
    drop = USUAL_DROP if options.max_drop is None else options.max_drop
    chosen = min((entry for entry in rows if entry.map >= best - drop), key=lambda entry: entry.ms)
    return f"recommended: {described(chosen)}, the fastest within {drop:g} mAP50-95 of the most accurate"


def described(entry: Row) -> str:
    """Return a row in words."""
    what = f"{entry.share:.0%} of the FLOPs removed" if entry.share else "as it is"
    return f"{entry.file} ({entry.model}, {what}: {entry.ms:.2f} ms, mAP50-95 {entry.map:.4f})"
