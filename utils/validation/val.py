"""Measure a detector on a split of a data set: what val.py does, for scripts and pruning alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.yolo import DetectionModel
from utils.cli.device import select_device
from utils.data.choice import match_classes
from utils.data.config import label_rules, load_data
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.files.paths import RunFolder, check_project, new_run
from utils.pictures.drawing import BatchPainter
from utils.pictures.plots import plot_evaluation
from utils.runtimes.runtimes import open_weights, weight_files
from utils.validation.evaluate import Evaluation, format_speed, format_table
from utils.validation.measure import evaluated_names, image_shape, make_validation_loader, measure
from utils.validation.options import ValidationOptions
from utils.validation.predictions import CocoWriter, LabelWriter
from utils.validation.unstructured import zero_smallest

FEW_CLASSES = 50  # up to here every class gets its row without --verbose


def validate_checkpoint(options: ValidationOptions) -> Evaluation:
    """Return the Evaluation that `validate` measures."""
    return validate(options)[0]


def validate(options: ValidationOptions) -> tuple[Evaluation, Path]:
    """Validate as ValidationOptions say: print the table, write curves and files into a new run.

    Returns (Evaluation, folder of the run). Raises InputError.
    """
    options.check()
    check_project(options.project, options.name)
    device = select_device(options.device)
    config = load_data(options.data, label_rules(options))
    model = open_weights(options, device)
    config = match_classes(config, model.names)
    shape, imgsz = getattr(model, "shape", None), max(image_shape(model, [options.imgsz] if options.imgsz else None))
    batch = options.batch_size
    loader = make_validation_loader(model, config, options.task, imgsz, batch, options.workers, options.single_cls)
    names = evaluated_names(config, options.single_cls)
    coco = CocoWriter(config, options.task) if options.save_json else None
    if options.sparsity and isinstance(model, DetectionModel):  # open_weights refuses the flag for other files
        sparsify(model, options)
    folder = RunFolder(new_run(options.project, options.name, options.exist_ok))
    text = LabelWriter(folder.text_labels, options.save_conf) if options.save_txt else None
    pixels = "x".join(map(str, shape)) if shape else imgsz
    dataset: Any = loader.dataset  # whose type in PyTorch has no length
    size = f"{len(dataset)} images, {pixels} pixels, batch {batch}, {device}"
    files = weight_files(options.weights)
    print(f"Validating {', '.join(files)} on {config.file} ({options.task}): {size}")
    evaluation = measure(
        model,
        loader,
        names=names,
        device=device,
        conf=options.conf_thres,
        iou=options.iou_thres,
        max_det=options.max_det,
        single_cls=options.single_cls,
        augment=options.augment,
        half=options.half,
        confusion=True,
        observer=all_of(BatchPainter(folder, names), text, coco),
    )
    print(format_table(evaluation, options.verbose or config.nc < FEW_CLASSES))
    print(format_speed(evaluation.speed, (batch, 3, *(shape or (imgsz, imgsz)))))
    plot_evaluation(evaluation, names, folder)
    if coco:
        coco.finish(folder.path / f"{Path(files[0]).stem}_predictions.json")
    print(f"Results saved to {folder.path}")
    return evaluation, folder.path


def sparsify(model: DetectionModel, options: ValidationOptions) -> None:
    """Zero weights as --sparsity says and write the result where --save-sparse says."""
    zeros = zero_smallest(model, options.sparsity)
    print(f"{options.sparsity:.1%} of each convolution's weights set to zero: {zeros:.1%} of all parameters")
    if options.save_sparse:
        save_checkpoint(options.save_sparse, finished_content(model))


def all_of(*observers: Callable[..., Any] | None) -> Callable[..., None]:
    """Return one observer that calls all of them that are not None."""

    def observer(*batch: Any) -> None:
        """Pass a batch on to all of them."""
        for one in filter(None, observers):
            one(*batch)

    return observer
