"""--sweep: several models, each slimmed by several shares, and which of the results no other one beats."""

import dataclasses
import json
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from utils.benchmark.latency import measure_latency
from utils.benchmark.pareto import front
from utils.files.atomic import write_atomically
from utils.files.checkpoint import load_checkpoint
from utils.files.downloads import find_weights
from utils.files.paths import new_run
from utils.slimming.slim import BEST, slim
from utils.slimming.state import FILE, VERSION, Record, read_content, unfinished

SWEEP = "sweep.json"
USUAL_DROP = 0.01  # mAP50-95 below the most accurate: within it the fastest is recommended


def sweep(options, now=datetime.now):
    """Slim every model by every share as SlimOptions with `sweep` say, or go on with that; return the table's rows.

    Raises InputError.
    """
    options.check()
    for file in options.weights:
        load_checkpoint(find_weights(file))  # a wrong one is found before days of training
    folder = unfinished(options, SWEEP) or new_run(options.project, options.name)
    content = {
        "version": VERSION,
        "options": options.settings(),
        "begun": now().isoformat(timespec="seconds"),
        "finished": False,
        "rows": [],
        "recommended": None,
    }
    content = read_content(folder / SWEEP) if (folder / SWEEP).is_file() else content
    save(folder, content)
    runs = planned_runs(options, folder)
    records = []
    for number, (name, run) in enumerate(runs.items(), 1):
        tqdm.write(f"\n{number}/{len(runs)} {name}: {run.weights[0]}, {1 - run.flops:.0%} of the FLOPs to go")
        records.append(finished_record(folder / name) or slim(run))
    rows = compare(options, runs, records)
    advice = recommendation(options, rows)
    tqdm.write(f"\n{table(rows)}\n{advice}")
    save(folder, {**content, "finished": True, "rows": rows, "recommended": advice})
    return rows


def save(folder, content):
    """Write the sweep.json."""
    write_atomically(folder / SWEEP, json.dumps(content, indent=1).encode())


def planned_runs(options, folder):
    """Return {name: SlimOptions} of a sweep's runs, named after the models' files, numbered where these are alike."""
    stems = [Path(file).stem for file in options.weights]
    runs = {}
    for number, (file, stem) in enumerate(zip(options.weights, stems), 1):
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


def finished_record(folder):
    """Return the Record of a run of the sweep that is finished, otherwise None."""
    record = Record.read(folder) if (folder / FILE).is_file() else None
    return record if record and record.content["finished"] else None


def compare(options, runs, records):
    """Return the rows of the table: the start of every model and what every run delivered, with times taken in turns.

    A row: model, share (of the FLOPs to be removed; 0 for a start), file, gflops, parameters, ms, map, unbeaten.
    """
    rows, seen = [], set()
    for run, record in zip(runs.values(), records):
        model = run.weights[0]
        if model not in seen:
            seen.add(model)
            rows.append(row(model, 0.0, record.folder / record.content["start"]["file"], record.content["start"]))
        rows.append(row(model, round(1 - run.flops, 9), record.folder / BEST, record.points[-1]))
    times = taken_times(options, [load_checkpoint(entry["file"]).model for entry in rows])
    for entry, ms in zip(rows, times):
        entry["ms"] = ms
    best = front([(entry["ms"], entry["map"]) for entry in rows])
    return [{**entry, "unbeaten": number in best} for number, entry in enumerate(rows)]


def row(model, share, file, found):
    """Return a row of the table without the time; found: measurements."""
    return {
        "model": model,
        "share": share,
        "file": str(file),
        **{key: found[key] for key in ("gflops", "parameters", "map")},
    }


def taken_times(options, models):
    """Return the milliseconds an image of each DetectionModel in --runtime."""
    size = max(model.fitting_size(options.imgsz) for model in models)
    return list(measure_latency(dict(enumerate(models)), size, options.runtime).values())


def table(rows):
    """Return the rows as text; * marks what no other one is faster and more accurate than."""
    width = max(len("model"), *(len(entry["model"]) for entry in rows))
    lines = [f"  {'model':<{width}}{'share':>8}{'GFLOPs':>9}{'parameters':>12}{'ms':>9}{'mAP50-95':>10}"]
    for entry in sorted(rows, key=lambda entry: entry["ms"]):
        mark = "*" if entry["unbeaten"] else " "
        lines.append(
            f"{mark} {entry['model']:<{width}}{entry['share']:>8.2f}{entry['gflops']:>9.3f}"
            f"{entry['parameters']:>12,}{entry['ms']:>9.2f}{entry['map']:>10.4f}"
        )
    return "\n".join([*lines, "* none of the others is as fast and more accurate"])


def recommendation(options, rows):
    """Return which row to take, and why, in one sentence."""
    best = max(entry["map"] for entry in rows)
    if options.latency_ms is not None:
        limit = f"{options.latency_ms:g} ms in {options.runtime}"
        fitting = [entry for entry in rows if entry["ms"] <= options.latency_ms]
        if not fitting:
            fastest = min(rows, key=lambda entry: entry["ms"])
            return f"recommended: none takes at most {limit}; the fastest is {described(fastest)}"
        return (
            f"recommended: {described(max(fitting, key=lambda entry: entry['map']))}, the most accurate within {limit}"
        )
    drop = USUAL_DROP if options.max_drop is None else options.max_drop
    chosen = min((entry for entry in rows if entry["map"] >= best - drop), key=lambda entry: entry["ms"])
    return f"recommended: {described(chosen)}, the fastest within {drop:g} mAP50-95 of the most accurate"


def described(entry):
    """Return a row in words."""
    what = f"{entry['share']:.0%} of the FLOPs removed" if entry["share"] else "as it is"
    return f"{entry['file']} ({entry['model']}, {what}: {entry['ms']:.2f} ms, mAP50-95 {entry['map']:.4f})"
