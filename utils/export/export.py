"""Export a checkpoint to the formats that other runtimes read, and prove that each file is the same detector."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from models.yolo import DetectionModel
from utils.cli.device import select_device
from utils.cli.options import option
from utils.data.choice import match_classes
from utils.data.config import DataConfig, load_data
from utils.errors import InputError
from utils.export.int8 import calibration_images
from utils.export.ncnn import write_ncnn
from utils.export.onnx import OPSET, OPSETS, onnx_bytes, onnx_graph
from utils.export.openvino import write_openvino
from utils.export.parity import EXACT, FLOAT, HALF, INT8, Report, Suppressed, verify
from utils.export.tensorrt import EngineRuntime, engine_bytes
from utils.export.torchscript import torchscript_bytes
from utils.export.yolov5 import stock_network
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.downloads import find_weights
from utils.files.paths import size_of
from utils.runtimes.interface import Runtime
from utils.runtimes.metadata import describe_model
from utils.runtimes.packages import need
from utils.runtimes.runtimes import NCNN_SUFFIX, OPENVINO_SUFFIX, TorchRuntime, load_detector
from utils.validation.measure import check_classes, whole_strides

PACKAGES = {  # that each format needs
    "onnx": ("onnx", "onnxruntime"),
    "torchscript": (),
    "openvino": ("onnx", "openvino"),
    "ncnn": ("onnx", "pnnx", "ncnn"),
    "engine": ("onnx", "tensorrt"),
    "yolov5": (),
}
FAILED = ".failed"  # suffix of a file that is not the same detector


@dataclass
class ExportOptions:
    """Options of export.py."""

    weights: str = option("yolov5s.pt", "checkpoint (.pt)")
    include: list[str] = option(
        ["torchscript"],
        "formats; yolov5: a model yaml and weights for the public train.py",
        nargs="+",
        choices=tuple(PACKAGES),
    )
    data: str = option("", "data yaml: what --int8 calibrates on, and the mAP of each file is compared on")
    imgsz: list[int] = option(
        [640],
        "height and width of the images, or one number for both, in pixels",
        "--img",
        "--img-size",
        nargs="+",
        minimum=32,
    )
    batch_size: int = option(1, "images that the file takes at once", "--batch", minimum=1)
    device: str = option("cpu", "cpu, or the number of a GPU")
    half: bool = option(False, "weights in FP16")
    int8: bool = option(False, "ONNX and OpenVINO: compute in 8 bits, calibrated on the training images of --data")
    dynamic: bool = option(False, "ONNX, OpenVINO, TorchScript: batch and image size stay open")
    simplify: bool = option(False, "ONNX: let onnxslim shorten the graph")
    opset: int = option(OPSET, "ONNX: version of the operators", minimum=OPSETS[0], maximum=OPSETS[1])
    nms: bool = option(False, "ONNX: suppression inside, output [n, 7]: image, x1, y1, x2, y2, score, class")
    conf_thres: float = option(0.25, "with --nms, least confidence of a detection", minimum=0, below=1)
    iou_thres: float = option(0.45, "with --nms, overlap above which a box goes", minimum=0, maximum=1)
    max_det: int = option(300, "with --nms, most detections an image", minimum=1)
    workspace: int = option(4, "TensorRT: memory for building in GB", minimum=1)

    def check(self) -> None:
        """Raise InputError for flags that exclude each other or have no effect."""
        graphs = {"onnx", "openvino"} & set(self.include)
        if len(self.imgsz) > 2:
            raise InputError(f"--imgsz {' '.join(map(str, self.imgsz))}: must be one number, or height and width")
        if self.int8 and not self.data:
            raise InputError("--int8: needs images to calibrate on; name them with --data")
        if self.int8 and self.half:
            raise InputError("--int8 and --half: exclude each other; give one of them")
        if self.int8 and not graphs:
            raise InputError("--int8: has no effect without --include onnx or openvino")
        if self.nms and "onnx" not in self.include:
            raise InputError("--nms: has no effect without --include onnx")
        if self.half and "torchscript" in self.include and self.device == "cpu":
            raise InputError("--half: TorchScript in FP16 needs a GPU; give --device 0, or leave torchscript out")
        for name in ("engine", "ncnn"):
            if name in self.include and (self.int8 or self.dynamic):
                fixed = "files are of fixed size, FP32 or FP16; leave out --int8 and --dynamic"
                raise InputError(f"--include {name}: {fixed}")
        if "ncnn" in self.include and self.batch_size > 1:
            raise InputError(f"--batch-size {self.batch_size}: ncnn takes one image at a time; leave it out")


@dataclass(frozen=True)
class Exported:
    """A file that was written, and whether it is the same detector."""

    path: Path
    broken: list[str]  # what is wrong with it; empty when nothing is


def export(options: ExportOptions) -> list[Exported]:
    """Export as ExportOptions say, verify each file, print a line for it; return the list of Exported.

    Files land beside the checkpoint; one that fails is kept with the suffix .failed. Raises InputError.
    """
    options.check()
    for name in options.include:
        for package in PACKAGES[name] + (("nncf",) if name == "openvino" and options.int8 else ()):
            need(package, f"--include {name}")
    weights = find_weights(options.weights)
    checkpoint = load_checkpoint(weights)
    model = checkpoint.network
    config = match_classes(load_data(options.data), model.names) if options.data else None
    if config:
        check_classes(model, config)
    sides = [whole_strides(size, model.size_multiple) for size in options.imgsz]
    job = ExportTask(options, weights, model, config, (sides[0], sides[-1]))
    print(f"Exporting {weights} for images of {job.shape[0]}x{job.shape[1]}, batch {options.batch_size}")
    return [job.run(name) for name in dict.fromkeys(options.include)]


class ExportTask:
    """One checkpoint on its way into files."""

    def __init__(
        self,
        options: ExportOptions,
        weights: Path,
        model: DetectionModel,
        config: DataConfig | None,
        shape: tuple[int, int],
    ) -> None:
        """options: ExportOptions; weights: Path; config: DataConfig or None; shape: (height, width) of the images."""
        self.options, self.weights, self.model, self.config, self.shape = options, weights, model, config, shape
        self.metadata = describe_model(model, shape, options.batch_size)
        self.device = select_device(options.device)
        self.reference = TorchRuntime(weights, self.device, model)

    def run(self, name: str) -> Exported:
        """Export one format, verify it and move it into its place; return the Exported."""
        start = time.perf_counter()
        with folder_beside(self.weights) as folder:
            made, report = getattr(self, f"make_{name}")(folder)
            target = self.weights.with_name(made.name + (FAILED if report.broken else ""))
            for companion in folder.glob("*.yaml"):
                put(companion, self.weights.with_name(companion.name))
            put(made, target)
        seconds = time.perf_counter() - start
        print(f"{name}: {target}, {size_of(target) / 1e6:.2f} MB, {seconds:.1f} s; {report.text}")
        if report.broken:
            print(
                f"{name}: FAILED: {made.name} is not the same detector as {self.weights.name}: "
                f"{'; '.join(report.broken)}. The file is kept as {target.name}",
                file=sys.stderr,
            )
        return Exported(target, report.broken)

    def verified(self, runtime: Runtime, quantized: bool = False) -> Report:
        """Return the Report of a runtime against the checkpoint."""
        tolerance = INT8 if quantized else HALF if self.options.half else FLOAT
        return verify(self.reference, runtime, tolerance, self.shape, self.config)

    def graph(self, images: list[np.ndarray] | None = None, half: bool = False) -> Any:
        """Return the network as an ONNX graph."""
        options = self.options
        return onnx_graph(
            self.model,
            self.metadata,
            dynamic=options.dynamic,
            simplify=options.simplify,
            opset=options.opset,
            images=images,
            half=half,
        )

    def calibration(self) -> list[np.ndarray] | None:
        """Return the images to calibrate on, or None when nothing is to be quantized."""
        return calibration_images(self.config, self.shape) if self.options.int8 and self.config else None

    def make_onnx(self, folder: Path) -> tuple[Path, Report]:
        """Write the ONNX file; return (path, Report)."""
        options, images = self.options, self.calibration()
        path = folder / f"{self.weights.stem}{'_int8' if images else ''}.onnx"
        graph, half = self.graph(images), options.half or bool(images)  # Detect, which is left in float
        path.write_bytes(onnx_bytes(graph, self.metadata, half=half))
        plain = load_detector(path)
        report = self.verified(plain, quantized=bool(images))
        if options.nms:
            limits = options.conf_thres, options.iou_thres, options.max_det
            path.write_bytes(onnx_bytes(graph, self.metadata, half=half, nms=limits))
            inside = verify(Suppressed(plain, limits), load_detector(path), FLOAT, self.shape)
            report = Report(report.broken + inside.broken, f"{report.text}; after suppression {inside.text}")
        return path, report

    def make_torchscript(self, folder: Path) -> tuple[Path, Report]:
        """Write the TorchScript file; return (path, Report)."""
        options, path = self.options, folder / f"{self.weights.stem}.torchscript"
        settings: dict[str, Any] = {"dynamic": options.dynamic, "half": options.half, "device": self.device}
        path.write_bytes(torchscript_bytes(self.model, self.metadata, **settings))
        return path, self.verified(load_detector(path, self.device))

    def make_openvino(self, folder: Path) -> tuple[Path, Report]:
        """Write the OpenVINO folder; return (path, Report)."""
        images, stem, graph = self.calibration(), self.weights.stem, folder / "graph.onnx"
        content = self.graph()  # NNCF finds Detect by the names of its nodes
        graph.write_bytes(content.SerializeToString() if images else onnx_bytes(content, self.metadata))
        path = folder / f"{stem}{'_int8' if images else ''}{OPENVINO_SUFFIX}"
        detect = self.model.model[-1].i
        write_openvino(graph, path, stem, self.metadata, half=self.options.half, images=images, detect=detect)
        return path, self.verified(load_detector(path), quantized=bool(images))

    def make_ncnn(self, folder: Path) -> tuple[Path, Report]:
        """Write the ncnn folder; return (path, Report)."""
        graph, path = folder / "graph.onnx", folder / f"{self.weights.stem}{NCNN_SUFFIX}"
        graph.write_bytes(self.graph().SerializeToString())
        write_ncnn(graph, path, self.metadata, half=self.options.half)
        return path, self.verified(load_detector(path))

    def make_engine(self, folder: Path) -> tuple[Path, Report]:
        """Write the TensorRT engine; return (path, Report)."""
        graph, path = folder / "graph.onnx", folder / f"{self.weights.stem}.engine"
        graph.write_bytes(self.graph(half=self.options.half).SerializeToString())
        path.write_bytes(engine_bytes(graph, self.options.workspace))
        return path, self.verified(EngineRuntime(path, self.metadata, self.device))

    def make_yolov5(self, folder: Path) -> tuple[Path, Report]:
        """Write a model yaml of the public YOLOv5 and weights for it; return (path of the weights, Report)."""
        config, network = stock_network(self.model)
        stem = f"{self.weights.stem}_yolov5"
        path, description = folder / f"{stem}.pt", folder / f"{stem}.yaml"
        save_checkpoint(path, finished_content(network))
        description.write_text(yaml.safe_dump(config, sort_keys=False, default_flow_style=None))
        if "channel_multiple" in config:
            need_newer = "widths that are no multiples of 8 need a public YOLOv5 newer than v7.0"
            print(f"{stem}.yaml: {need_newer}", file=sys.stderr)
        return path, verify(self.reference, TorchRuntime(path), EXACT, self.shape, self.config)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Make a folder beside a file, and remove it with what is left in it. Raises InputError when it can't be made."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}.", suffix=".tmp", dir=path.parent))
    except OSError as error:
        place = "exported files land beside the weights"
        raise InputError(f"{path.parent}: cannot be written ({error.strerror}); {place}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put(made: Path, target: Path) -> None:
    """Move a finished file or folder into its place; what was there before goes."""
    if made.is_dir() and target.exists():
        target.rename(made.parent / "before")
    made.replace(target)
