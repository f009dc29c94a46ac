"""How a run ends: which weights are to be used, and how good they are as they were saved."""

import json
from pathlib import Path
from typing import Any

from utils.files.atomic import dispensable, write_atomically
from utils.files.checkpoint import load_checkpoint
from utils.pictures.drawing import BatchPainter
from utils.pictures.plots import plot_evaluation
from utils.training.checkpoints import weights_to_use
from utils.training.plan import Plan
from utils.training.run import Run
from utils.validation.evaluate import Evaluation, format_table
from utils.validation.val import FEW_CLASSES


def conclude(plan: Plan, run: Run) -> Evaluation | None:
    """Name the weights to use and write final.json; return their Evaluation.

    Every process calls it. None where nothing can be validated, and in all processes but rank 0.
    """
    file = run.processes.broadcast(weights_to_use(run) if run.processes.main else None)
    evaluation = measure_saved(plan, run, file) if plan.validates else None
    if not run.processes.main:
        return None
    plan.say(f"weights to use: {file}")
    for other in (run.folder.best_sparse, run.folder.best, run.folder.last):
        if other.is_file() and other not in run.written:
            plan.say(f"{other} is of an earlier run")
    names = ("precision", "recall", "map50", "map") if evaluation else ()
    content = {"weights": file.name, **{name: getattr(evaluation, name) for name in names}}
    write_atomically(run.folder.final_json, json.dumps(content).encode())
    return evaluation


def measure_saved(plan: Plan, run: Run, file: Path) -> Evaluation | None:
    """Measure a checkpoint as it lies on disk, show the table and draw the pictures; return the Evaluation in rank 0.

    The pictures of a batch are drawn by the process that has it.
    """
    draw = not plan.options.noplots
    measure: Any = run.measure
    painter = dispensable(run.folder.path)(BatchPainter(run.folder, plan.names)) if draw else None
    evaluation = measure(load_checkpoint(file).model, confusion=True, observer=painter)
    if evaluation is None:
        return None
    shown = f"{file.name}, no channel masked" if file == run.folder.best_sparse else file.name
    plan.say(f"{shown}:")
    plan.say(format_table(evaluation, verbose=len(plan.names) < FEW_CLASSES))
    if draw:
        with dispensable(run.folder.path):
            plot_evaluation(evaluation, plan.names, run.folder, shown)
    return evaluation
