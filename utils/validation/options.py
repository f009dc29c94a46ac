"""The flags of val.py."""

from dataclasses import dataclass
from pathlib import Path

from utils.cli.options import option
from utils.errors import InputError


@dataclass
class ValidationOptions:
    """Options of val.py."""

    data: str = option("data/coco128.yaml", "data yaml, by path or by name in data/")
    skip_bad_labels: bool = option(False, "leave out label rows that cannot be read, instead of stopping")
    accept_conf: bool = option(
        False, "accept label rows that end with a confidence, as --save-txt --save-conf writes them; it is not used"
    )
    check_photos: bool = option(False, "decode every photo while the data set is scanned, not only its head and end")
    weights: str | list[str] = option(
        "yolov5s.pt",
        "checkpoint (.pt), or an exported .onnx, .torchscript, .tflite or folder; several are an ensemble",
        nargs="+",
    )
    cfg: str = option("", "model yaml, only for a weight file that holds tensors alone (a state dict)")
    batch_size: int = option(32, "images in a batch", "--batch", minimum=1)
    imgsz: int | None = option(
        None,
        "longest side of the images in pixels; by default 640, or the size of an exported file",
        "--img",
        "--img-size",
        minimum=32,
    )
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
        if self.save_sparse and Path(self.save_sparse).suffix != ".pt":
            raise InputError(f"--save-sparse {self.save_sparse}: is written as a checkpoint; must end in .pt")
        if self.save_sparse and Path(self.save_sparse).exists():
            raise InputError(f"--save-sparse {self.save_sparse}: exists already; must be a new file")
