"""The end of a cut: both networks are measured, what changed is told, the checkpoint and the report are written."""

import json
import shlex
from dataclasses import MISSING, fields

from utils.benchmark.latency import measure_latency
from utils.files.atomic import write_atomically
from utils.files.checkpoint import checkpoint_bytes, finished_content
from utils.files.paths import free_name
from utils.pruning.report.findings import collect, file_parts, network_numbers
from utils.pruning.report.page import page
from utils.pruning.report.tables import totals, totals_table
from utils.validation.measure import validate


def evaluate_stored(job, model):
    """Return the Evaluation of a model as it is stored, in FP16, on the job's images; None with --noval."""
    options = job.options
    if options.noval:
        return None
    return validate(
        finished_content(model)["model"],
        job.config,
        options.task,
        device=job.device,
        imgsz=options.imgsz,
        batch_size=options.batch_size,
        workers=options.workers,
    )


def report(job, cut, explored):
    """Measure and compare the network that was read and the one that is left, print the totals.

    explored: what --sensitivity found, a mapping for the findings. Returns (bytes of the checkpoint, findings).
    """
    options, rows, networks = job.options, [], []
    timed = not options.noval or options.latency_ms is not None
    times = measure_latency({"before": job.whole, "after": cut.after}, options.imgsz) if timed else {}
    for name, model, judged in (("before", job.whole, job.reference), ("after", cut.after, cut.after)):
        content = finished_content(model)
        data = checkpoint_bytes(content)
        row = totals(name, model, options.imgsz, len(data), evaluate_stored(job, judged), times.get(name))
        rows.append(row)
        networks.append(network_numbers(row, file_parts(content["model"], len(data))))
    measured = "not measured" if options.noval else f"the {options.task} images of {job.config.file}"
    settings = {
        "weights": options.weights,
        "out": options.out,
        "data": options.data,
        "imgsz": options.imgsz,
        "command": command_line("prune.py", options),
        "notes": job.notes,
        "measured_on": measured,
    }
    findings = collect(cut, networks, **settings, **{"sensitivity": None, "trade_off": None, **explored})
    print(findings["verdict"])
    print(totals_table(rows, options.imgsz))
    return data, findings


def command_line(script, options):
    """Return the command that gives these options: the flags that are not at their default."""
    words = ["python", script]
    for field in fields(options):
        value = getattr(options, field.name)
        default = field.default_factory() if field.default is MISSING else field.default
        if value != default:
            given = [] if value is True else value if isinstance(value, list) else [value]
            words += ["--" + field.name.replace("_", "-"), *map(str, given)]
    return shlex.join(words)


def report_files(out):
    """Return where the report of a checkpoint lies: {suffix: path} for json and html."""
    return {kind: out.with_name(f"{out.stem}.report.{kind}") for kind in ("json", "html")}


def write_result(path, data, findings):
    """Write a checkpoint (bytes) and its report; files that are there already are renamed, and that is said."""
    kept = free_name(path)
    if kept != path:
        path.rename(kept)
        for old, new in zip(report_files(path).values(), report_files(kept).values()):
            if old.exists():
                old.rename(new)
        print(f"{path} existed; the earlier one is kept as {kept}")
    files = report_files(path)
    write_atomically(path, data)
    write_atomically(files["json"], json.dumps(findings, indent=1).encode())
    write_atomically(files["html"], page(findings).encode())
    print(f"written to {path}; report: {files['html']}")
