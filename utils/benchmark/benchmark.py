"""Compare detectors on this machine: time, size, memory, energy and mAP, file by file, in turns."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from utils.benchmark.calls import forms, single_call
from utils.benchmark.footprint import energy, peak_memory
from utils.benchmark.latency import Timing, computing_threads, noise, speedup, summarise
from utils.benchmark.options import BenchmarkOptions
from utils.benchmark.pareto import plot_pareto
from utils.benchmark.sizes import format_items, itemise
from utils.benchmark.steadiness import busy_line, take_steady_turns
from utils.cli.device import select_device
from utils.data.choice import match_classes
from utils.data.config import DataConfig, load_data
from utils.errors import InputError, warn
from utils.files.atomic import write_atomically
from utils.files.paths import distinct_names, new_run
from utils.runtimes.interface import Runtime
from utils.runtimes.runtimes import load_detector
from utils.validation.evaluate import evaluate
from utils.validation.measure import check_classes, make_validation_loader, whole_strides

GFLOPS_AREA = 640 * 640  # pixels that the cost of a runtime is stated for


@dataclass(frozen=True)
class Result:
    """One file at one size with one number of threads."""

    model: str
    runtime: str
    height: int
    width: int
    threads: int
    half: bool  # PyTorch in FP16
    ms: Timing  # by the clock
    cpu_ms: float  # median of the processor's time
    speedup: float  # of the first file's time, median over rounds
    noise: bool  # the speed-up may be chance
    gflops: float | None
    parameters: int | None
    file_bytes: int
    file_parts: dict[str, int]  # what they are
    memory_mb: float | None
    joules: float | None
    map50: float | None = None
    map: float | None = None


def benchmark(options: BenchmarkOptions) -> list[Result]:
    """Measure as BenchmarkOptions say, print tables, write results.json and pareto.png; return the Results.

    Raises InputError.
    """
    shapes, device = options.sizes(), select_device(options.device)
    if options.half and device.type != "cuda":
        raise InputError(f"--half: FP16 is for GPUs; add --device 0 (now --device {options.device})")
    config = load_data(options.data) if options.data else None
    runtimes = [load_detector(path, device) for path in options.weights]
    configs = {}  # path → the data as that detector knows them
    if config:
        for path, runtime in zip(options.weights, runtimes):
            configs[path] = match_classes(config, runtime.names)
            check_classes(runtime, configs[path])
    multiple = max(runtime.size_multiple for runtime in runtimes)
    sides = {side: whole_strides(side, multiple) for side in dict.fromkeys(side for shape in shapes for side in shape)}
    shapes = [(sides[height], sides[width]) for height, width in shapes]
    fitting = {shape: [path for path, one in zip(options.weights, runtimes) if fits(one, shape)] for shape in shapes}
    if not any(fitting.values()):
        raise InputError(f"--imgsz {' '.join(options.imgsz)}: no file takes images of this size")
    folder = new_run(options.project, options.name, options.exist_ok)
    results: list[Result] = []
    warning = busy_line(max(options.threads))
    if warning:
        warn(warning)
    for shape, paths in fitting.items():
        accuracies = measure_accuracies({path: configs[path] for path in paths if configs}, shape, device, options.half)
        for threads in options.threads if paths else ():
            rows = measure_speeds(paths, shape, threads, options.rounds, device, options.half)
            rows = [replace(row, **accuracies.get((row.model, row.half), {})) for row in rows]
            print(f"\n{shape[0]}x{shape[1]}, {threads} thread{'s' * (threads > 1)}, {device}\n{format_results(rows)}")
            results += rows
    print(f"\n{format_sizes(results)}")
    write_atomically(folder / "results.json", json.dumps([asdict(row) for row in results], indent=2).encode())
    if config:
        plot_pareto(folder / "pareto.png", results)
    print(f"\nResults saved to {folder}")
    return results


def fits(runtime: Runtime, shape: tuple[int, int]) -> bool:
    """Tell whether a file takes single images of a size; says so when not."""
    if runtime.shape not in (None, shape) or runtime.batch not in (None, 1):
        size = "x".join(map(str, runtime.shape or shape))
        print(f"{runtime.path.name}: is for {runtime.batch or 1} image of {size}, left out at {shape[0]}x{shape[1]}")
        return False
    return True


def measure_speeds(
    paths: list[str], shape: tuple[int, int], threads: int, rounds: int, device: torch.device, half: bool = False
) -> list[Result]:
    """Return the Results, without mAP, of files that take turns on images of (height, width), in all their Forms."""
    image = noise(shape)
    with computing_threads(threads):
        runtimes, calls = {}, {}
        for path in paths:
            plain = load_detector(path, device, threads)
            for form in forms(plain, half):
                runtime = load_detector(path, device, threads, half=True) if form.half else plain
                runtimes[path, form], calls[path, form] = runtime, single_call(runtime, image, form.graph)
        taken = take_steady_turns(calls, rounds, threads)
        joules = {key: energy(call) if device.type == "cpu" else None for key, call in calls.items()}
    results, first = [], next(iter(taken.values())).clock
    for (path, form), runtime in runtimes.items():
        seconds, (parameters, gflops), parts = taken[path, form], runtime.cost, itemise(runtime.path)
        faster, within = speedup(first, seconds.clock)
        results.append(
            Result(
                str(path),
                form.label(runtime),
                *shape,
                threads,
                form.half,
                summarise(seconds.clock),
                summarise(seconds.processor).median,
                faster,
                within,
                gflops and gflops * shape[0] * shape[1] / GFLOPS_AREA,
                parameters,
                sum(parts.values()),
                parts,
                peak_memory(runtime.path, shape, threads) if device.type == "cpu" else None,
                joules[path, form],
            )
        )
    return results


def measure_accuracies(
    configs: dict[str, DataConfig], shape: tuple[int, int], device: torch.device, half: bool = False
) -> dict[tuple[str, bool], dict[str, Any]]:
    """Return {(file, whether in FP16): {map50, map}} on the validation images, all letterboxed to (height, width).

    configs: {path of a file: DataConfig with its classes}.
    """
    found = {}
    for path, config in configs.items():
        plain = load_detector(path, device)
        for precision in sorted({form.half for form in forms(plain, half)}):
            runtime = load_detector(path, device, half=True) if precision else plain
            runtime.shape = shape
            loader = make_validation_loader(runtime, config, "val", max(shape), 1, 0)
            result = evaluate(runtime, loader, names=config.names, device=device)
            found[str(path), precision] = {"map50": result.map50, "map": result.map}
    return found


def format_results(rows: list[Result]) -> str:
    """Return the table of Results of one size and number of threads."""
    names = distinct_names(row.model for row in rows)
    longest, label = max(map(len, names.values())), max(len(row.runtime) for row in rows)
    head = (
        f"{'model':<{longest}}  {'runtime':<{label}}{'ms':>8}{'quartiles':>16}{'CPU ms':>8}{'faster':>9}{'GFLOPs':>8}"
        f"{'params':>11}{'file MB':>9}{'memory MB':>11}{'J/image':>9}{'mAP50':>8}{'mAP50-95':>10}"
    )
    lines = [head]
    for row in rows:
        faster = "as fast" if row.noise and row is not rows[0] else f"{row.speedup:.2f}x"
        between = f"{row.ms.low:.1f} to {row.ms.high:.1f}"
        lines.append(
            f"{names[row.model]:<{longest}}  {row.runtime:<{label}}{row.ms.median:8.2f}{between:>16}{row.cpu_ms:8.2f}"
            f"{faster:>9}{number(row.gflops, '.2f'):>8}{number(row.parameters, ','):>11}{row.file_bytes / 1e6:9.2f}"
            f"{number(row.memory_mb, '.0f'):>11}{number(row.joules, '.3f'):>9}{number(row.map50, '.3f'):>8}"
            f"{number(row.map, '.3f'):>10}"
        )
    if any(row.noise for row in rows[1:]):
        lines.append(f"as fast: the difference to {names[rows[0].model]} is within the noise")
    return "\n".join(lines)


def format_sizes(results: list[Result]) -> str:
    """Return one line for each file: what its bytes are."""
    names, parts = distinct_names(row.model for row in results), {row.model: row.file_parts for row in results}
    longest = max(map(len, names.values()))
    return "\n".join(f"{names[model]:<{longest}}  {format_items(items)}" for model, items in parts.items())


def number(value: float | None, form: str) -> str:
    """Return a number as text, or a dash when there is none."""
    return "-" if value is None else format(value, form)
