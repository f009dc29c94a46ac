"""Measure a detector on a split of a data set: what val.py does, for scripts and pruning alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.yolo import DetectionModel
from utils.cli.device import select_device
from utils.cli.options import option
from utils.data.choice import match_classes
from utils.data.config import label_rules, load_data
from utils.errors import InputError
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.files.paths import RunFolder, new_run
from utils.pictures.drawing import BatchPainter
from utils.pictures.plots import plot_evaluation
from utils.runtimes.runtimes import open_weights
from utils.validation.evaluate import Evaluation, format_speed, format_table
from utils.validation.measure import evaluated_names, make_validation_loader, measure, whole_strides
from utils.validation.predictions import CocoWriter, LabelWriter
from utils.validation.unstructured import zero_smallest

FEW_CLASSES = 50  # up to here every class gets its row without --verbose


@dataclass
class ValidationOptions:
    """Options of val.py."""

    data: str = option("data/coco128.yaml", "data yaml, by path or by name in data/")
    skip_bad_labels: bool = option(False, "leave out label rows that cannot be read, instead of stopping")
    accept_conf: bool = option(
        False, "accept label rows that end with a confidence, as --save-txt --save-conf writes them; it is not used"
    )
    weights: str = option("yolov5s.pt", "checkpoint (.pt), or an exported .onnx, .torchscript or folder")
    cfg: str = option("", "model yaml, only for a weight file that holds tensors alone (a state dict)")
    batch_size: int = option(32, "images in a batch", "--batch", minimum=1)
    imgsz: int = option(640, "longest side of the images in pixels", "--img", "--img-size", minimum=32)
    conf_thres: float = option(0.001, "least confidence of a detection", minimum=0, below=1)
    iou_thres: float = option(0.6, "overlap above which non-maximum suppression drops a box", minimum=0, maximum=1)
    max_det: int = option(300, "most detections an image", minimum=1)
    task: str = option("val", "split to validate on", choices=("train", "val", "test", "speed", "study"))
    device: str = option("", "cpu, or the number of a GPU; empty: a GPU if there is one")
    workers: int = option(8, "processes that load images", minimum=0)
    single_cls: bool = option(False, "treat all classes as one")
    augment: bool = option(False, "test-time augmentation: three scales, one of them flipped")
    verbose: bool = option(False, "a row for every class")
    save_txt: bool = option(False, "write the detections as label files")
    save_hybrid: bool = option(False, "not supported: labels among the predictions make the mAP meaningless")
    save_conf: bool = option(False, "with --save-txt, write the confidence too")
    save_json: bool = option(False, "write the detections as COCO results, and COCO's AP when there are annotations")
    project: str = option("runs/val", "folder of the runs")
    name: str = option("exp", "folder of this run")
    exist_ok: bool = option(False, "write into the run's folder even if it exists")
    half: bool = option(False, "compute in float16")
    sparsity: float = option(
        0.0, "set this share of each convolution's weights to zero first, by magnitude", minimum=0, below=1
    )
    save_sparse: str = option("", "with --sparsity, write the network with those zeros to this .pt")
    dnn: bool = option(False, "not supported: OpenCV's runtime for ONNX files")

    def check(self) -> None:
        """Raise InputError for what is not supported and for flags without effect."""
        if self.task in ("speed", "study"):
            instead = "benchmark.py measures speed" if self.task == "speed" else "run val.py once for each --imgsz"
            raise InputError(f"--task {self.task}: not supported; {instead}")
        if self.save_hybrid:
            raise InputError("--save-hybrid: not supported; the mAP would count labels as predictions. Use --save-txt")
        if self.dnn:
            raise InputError("--dnn: not supported; leave it out, the runtime follows from the weight file")
        if self.save_conf and not self.save_txt:
            raise InputError("--save-conf: has no effect without --save-txt")
        if self.save_sparse and not self.sparsity:
            raise InputError(f"--save-sparse {self.save_sparse}: has no effect without --sparsity")
        if self.save_sparse and Path(self.save_sparse).exists():
            raise InputError(f"--save-sparse {self.save_sparse}: exists already; must be a new file")


def validate_checkpoint(options: ValidationOptions) -> Evaluation:
    """Validate as ValidationOptions say: print the table, write curves and files into a new run.

    Returns the Evaluation. Raises InputError.
    """
    options.check()
    device = select_device(options.device)
    config = load_data(options.data, label_rules(options))
    model = open_weights(options, device)
    config = match_classes(config, model.names)
    shape = getattr(model, "shape", None)
    imgsz = max(shape) if shape else whole_strides(options.imgsz, model.size_multiple)
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
    print(f"Validating {options.weights} on {config.file} ({options.task}): {size}")
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
        coco.finish(folder.path / f"{Path(options.weights).stem}_predictions.json")
    print(f"Results saved to {folder.path}")
    return evaluation


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
