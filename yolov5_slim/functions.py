"""The functions: each does what the script of its name does, and takes the script's flags as keywords."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.errors import InputError
from utils.export.options import ExportOptions
from utils.finetuning.options import FinetuneOptions
from utils.pruning.options import PruneOptions
from utils.slimming.options import SlimOptions
from utils.sparsity.options import SparsityOptions
from utils.training.options import TrainOptions
from utils.validation.options import ValidationOptions
from yolov5_slim.calls import takes
from yolov5_slim.results import (
    ExportedFile,
    ExportResult,
    Network,
    PruneResult,
    Scores,
    SlimResult,
    TrainResult,
    ValResult,
)

if TYPE_CHECKING:  # these need PyTorch
    from utils.training.run import Run
    from utils.validation.evaluate import ClassResult, Evaluation


@takes(TrainOptions)
def train(options: TrainOptions) -> TrainResult:
    """Train a detector as train.py does. Raises InputError, SpecError and TrainingError."""
    from utils.training.train import train

    return trained(train(options))


@takes(SparsityOptions)
def sparsify(options: SparsityOptions) -> TrainResult:
    """Drive channels to zero as train_sparsity.py does; st=True is needed for it. Raises what `train` raises."""
    from utils.sparsity.train_sparsity import train_sparsity

    return trained(train_sparsity(options))


@takes(FinetuneOptions)
def finetune(options: FinetuneOptions) -> TrainResult:
    """Train a pruned detector further as finetune_pruned.py does. Raises what `train` raises."""
    from utils.finetuning.finetune import finetune

    return trained(finetune(options))


@takes(PruneOptions)
def prune(options: PruneOptions) -> PruneResult:
    """Cut channels out of a checkpoint as prune.py does. Raises InputError."""
    from models.cost import count_gflops, count_parameters
    from utils.pruning.prune import prune_checkpoint
    from utils.pruning.report.write import report_files

    if options.show or options.suggest_head:
        raise InputError("prune(): show and suggest_head make no network; start prune.py with them")
    cut = prune_checkpoint(options)
    assert cut is not None  # which only those two flags give
    if options.dry_run:
        before, after = (Network(count_parameters(m), count_gflops(m, options.imgsz)) for m in (cut.before, cut.after))
        return PruneResult(None, None, before, after)
    files = report_files(Path(options.out))
    before, after = map(reported, json.loads(files["json"].read_text(encoding="utf-8"))["networks"])
    return PruneResult(Path(options.out), files["html"], before, after)


@takes(SlimOptions)
def slim(options: SlimOptions) -> SlimResult:
    """Make a detector as small as it can be, as slim.py does; goes on with an unfinished run. Raises InputError."""
    from utils.slimming.slim import BEST, slim

    if options.sweep:
        raise InputError("slim(): sweep makes many networks; start slim.py with it")
    run = slim(options)
    start, end = (
        Network(found.parameters, found.gflops, found.map50, found.map, found.bytes, found.ms)
        for found in (run.state.networks[0], run.state.networks[-1])
    )
    return SlimResult(run.folder, run.folder / BEST, start, end, len(run.state.kept), str(run.state.reason))


@takes(ValidationOptions)
def val(options: ValidationOptions) -> ValResult:
    """Measure a detector as val.py does. Raises InputError."""
    from utils.validation.val import validate

    found, folder = validate(options)
    return ValResult(folder, scores(found), per_class(found), found.images, found.instances, found.speed)


@takes(ExportOptions)
def export(options: ExportOptions) -> ExportResult:
    """Write a checkpoint in the formats of other runtimes, as export.py does. Raises InputError.

    A file that is not the same detector raises nothing: see ExportResult.broken.
    """
    from utils.export.export import export

    return ExportResult(tuple(ExportedFile(one.path, tuple(one.broken)) for one in export(options)))


def trained(run: "Run") -> TrainResult:
    """Return the TrainResult of a Run."""
    found, folder = run.evaluation, run.folder
    sparse = folder.best_sparse if folder.best_sparse in run.written else None
    best = folder.best if folder.best.exists() else folder.last
    numbers = (None, {}) if found is None else (scores(found), per_class(found))
    return TrainResult(folder.path, best, folder.last, sparse, run.epoch, *numbers)


def scores(found: "Evaluation | ClassResult") -> Scores:
    """Return the Scores of an Evaluation, or of one of its classes."""
    return Scores(found.precision, found.recall, found.map50, found.map)


def per_class(found: "Evaluation") -> dict[str, Scores]:
    """Return {name of a class: its Scores} of an Evaluation."""
    return {one.name: scores(one) for one in found.per_class}


def reported(row: dict[str, Any]) -> Network:
    """Return the Network of a row in the report of a cut."""
    return Network(row["parameters"], row["gflops"], row["map50"], row["map50_95"], row["file"]["bytes"], row["ms"])
