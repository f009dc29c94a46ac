"""The end of a cut: both networks are measured, what changed is told, the checkpoint and the report are written."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from models.yolo import DetectionModel
from utils.benchmark.latency import measure_latency
from utils.files.atomic import write_together
from utils.files.checkpoint import checkpoint_bytes, finished_content
from utils.files.paths import free_name
from utils.pruning.pipeline import Cut, PruningTask
from utils.pruning.report.findings import collect, file_parts, network_numbers
from utils.pruning.report.page import page
from utils.pruning.report.tables import totals, totals_table
from utils.validation.evaluate import Evaluation
from utils.validation.measure import validate
from utils.validation.mistakes import Judge
from utils.validation.worst import WORST, Worst, worst

Evaluate = Callable[..., Evaluation]


def evaluate_stored(
    task: PruningTask,
    model: DetectionModel,
    *,
    split: str,
    batch_size: int,
    workers: int,
    observer: Callable[..., None] | None = None,
) -> Evaluation:
    """Return the Evaluation of a model as it is stored, in FP16, on a split of the task's data; observer: of it."""
    assert task.config is not None, "there is data wherever something is validated"
    return validate(
        finished_content(model)["model"],
        task.config,
        split,
        device=task.device,
        imgsz=task.image_size,
        batch_size=batch_size,
        workers=workers,
        observer=observer,
    )


def measure_cut(
    task: PruningTask, cut: Cut, evaluate: Evaluate | None, timed: bool, settings: Mapping[str, Any]
) -> tuple[bytes, dict[str, Any], Worst]:
    """Measure and compare the network that was read and the one that is left, print the totals.

    Args:
        evaluate: measures a network's accuracy, see evaluate_stored; None: it is not measured.
        timed: whether milliseconds are measured.
        settings: what else the findings hold: how the cut was asked for, and what --sensitivity found.

    Returns (bytes of the checkpoint, findings, the photos that got worse).
    """
    rows, networks, image_size = [], [], task.image_size
    judges = {"before": Judge(), "after": Judge()}
    times = measure_latency({"before": task.whole, "after": cut.after}, image_size) if timed else {}
    for name, model, judged in (("before", task.whole, task.reference), ("after", cut.after, cut.after)):
        content = finished_content(model)
        data = checkpoint_bytes(content)
        evaluation = evaluate(judged, observer=judges[name]) if evaluate else None
        row = totals(name, model, image_size, len(data), evaluation, times.get(name))
        rows.append(row)
        networks.append(network_numbers(row, file_parts(content["model"], len(data))))
    found = worst(judges["before"].photos, judges["after"].photos, cut.after.names) if evaluate else Worst([])
    about = {"imgsz": image_size, "notes": task.notes, "sensitivity": None, "trade_off": None, **settings}
    findings = collect(cut, networks, worst=found.lines, **about)
    print(findings["verdict"])
    print(totals_table(rows, image_size))
    print(*found.lines, sep="\n", end="\n" if found.lines else "")
    return data, findings, found


def command_line(script: str, options: Any) -> str:
    """Return the command that gives these options: the flags that are not at their default."""
    words = ["python", script]
    for field in fields(options):
        value = getattr(options, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if value != default:
            given = [] if value is True else value if isinstance(value, list) else [value]
            words += ["--" + field.name.replace("_", "-"), *map(str, given)]
    return shlex.join(words)


def report_files(out: Path) -> dict[str, Path]:
    """Return where the report of a checkpoint lies, in a folder beside it: {suffix: path} for json, html and jpg."""
    names = {"json": "report.json", "html": "report.html", "jpg": WORST}
    return {kind: out.with_name(f"{out.stem}_report") / name for kind, name in names.items()}


def write_result(path: Path, data: bytes, findings: dict, picture: bytes | None = None) -> None:
    """Write a checkpoint (bytes) and its report; files that are there already are renamed, and that is said.

    picture: of the worst photos, the bytes of a JPEG file; None: there is none.
    """
    files = report_files(path)
    contents = {
        path: data,
        files["json"]: json.dumps(findings, indent=1).encode(),
        files["html"]: page(findings, picture).encode(),
    }
    if picture:
        contents[files["jpg"]] = picture
    write_together(contents, lambda: make_room(path))
    shown = f"; the worst photos: {files['jpg']}" if picture else ""
    print(f"written to {path}; report: {files['html']}{shown}")


def make_room(path: Path) -> None:
    """Rename the checkpoint that is there already, and its report; say so."""
    kept = free_name(path)
    if kept != path:
        path.rename(kept)
        for old, new in zip(report_files(path).values(), report_files(kept).values()):
            if old.exists():
                new.parent.mkdir(exist_ok=True)
                old.rename(new)
        print(f"{path} existed; the earlier one is kept as {kept}")
