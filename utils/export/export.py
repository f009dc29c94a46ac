"""Export a checkpoint to the formats that other runtimes read, and prove that each file is the same detector."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from models.yolo import DetectionModel
from utils.cli.device import select_device
from utils.data.choice import match_classes
from utils.data.config import DataConfig, load_data
from utils.errors import InputError
from utils.export.int8 import calibration_images
from utils.export.ncnn import write_ncnn
from utils.export.onnx import onnx_bytes, onnx_graph
from utils.export.openvino import write_openvino
from utils.export.options import PACKAGES, ExportOptions
from utils.export.parity import EXACT, FLOAT, HALF, INT8, Report, Suppressed, verify
from utils.export.rknn import write_rknn
from utils.export.tensorrt import EngineRuntime, engine_bytes
from utils.export.tflite import write_tflite
from utils.export.torchscript import torchscript_bytes
from utils.export.yolov5 import stock_network
from utils.files.atomic import folder_beside, naming
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.downloads import find_weights
from utils.files.paths import size_of
from utils.runtimes.interface import Runtime
from utils.runtimes.metadata import describe_model
from utils.runtimes.packages import need
from utils.runtimes.runtimes import NCNN_SUFFIX, OPENVINO_SUFFIX, TorchRuntime, load_detector
from utils.validation.measure import check_classes, image_shape

FAILED = ".failed"  # suffix of a file that is not the same detector
COMPANIONS = (".yaml", ".json", ".txt")  # suffixes of what stands beside a file


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
    for flag, package in needed_packages(options):
        need(package, flag)
    device, weights = export_device(options), find_weights(options.weights)
    with folder_beside(weights):
        pass  # tried before any work
    checkpoint = load_checkpoint(weights)
    model = checkpoint.network
    config = match_classes(load_data(options.data), model.names) if options.data else None
    if config:
        check_classes(model, config)
    job = ExportTask(options, weights, model, config, image_shape(model, options.imgsz), device)
    print(f"Exporting {weights} for images of {job.shape[0]}x{job.shape[1]}, batch {options.batch_size}")
    if config and not options.dynamic:
        way = f"letterboxed to {job.shape[0]}x{job.shape[1]}, the one size that a file takes"
        print(f"mAP: all validation images, {way}. val.py fits a checkpoint's batches more closely: its mAP differs")
    return [job.run(name) for name in dict.fromkeys(options.include)]


def needed_packages(options: ExportOptions) -> list[tuple[str, str]]:
    """Return a list of (flag, package that it needs)."""
    needed = [(f"--include {name}", package) for name in options.include for package in PACKAGES[name]]
    needed += [("--include openvino --int8", "nncf")] if options.int8 and "openvino" in options.include else []
    return needed + ([("--simplify", "onnxslim")] if options.simplify and options.graphs else [])


def export_device(options: ExportOptions) -> torch.device:
    """Return the device that files are made and compared on. Raises InputError when it is not there or does not do."""
    device = select_device(options.device)
    if "engine" in options.include and device.type != "cuda":
        raise InputError(f"--include engine: TensorRT needs an NVIDIA GPU; give --device 0 (now {device})")
    return device


def export_or_fail(options: ExportOptions) -> None:
    """Export; end with exit code 1 when a file is not the same detector as the checkpoint."""
    if any(exported.broken for exported in export(options)):
        sys.exit(1)


class ExportTask:
    """One checkpoint on its way into files."""

    def __init__(
        self,
        options: ExportOptions,
        weights: Path,
        model: DetectionModel,
        config: DataConfig | None,
        shape: tuple[int, int],
        device: torch.device,
    ) -> None:
        """config: None, or the data to compare on; shape: (height, width) of the images."""
        self.options, self.weights, self.model, self.config, self.shape = options, weights, model, config, shape
        self.metadata = describe_model(model, shape, options.batch_size)
        self.device, self.reference = device, TorchRuntime(weights, device, model)

    def run(self, name: str) -> Exported:
        """Export one format, verify it and move it into its place; return the Exported."""
        start = time.perf_counter()
        with naming(self.weights.with_suffix(f".{name}")), folder_beside(self.weights) as folder:
            made, report = getattr(self, f"make_{name}")(folder)
            target = self.weights.with_name(made.name + (FAILED if report.broken else ""))
            for companion in sorted(folder.iterdir()):
                if companion.suffix in COMPANIONS:
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

    def stem(self, quantized: bool = False) -> str:
        """Return what the files are called before their suffix: kinds of numbers do not overwrite each other."""
        return self.weights.stem + ("_int8" if quantized else "_half" if self.options.half else "")

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
        path = folder / f"{self.stem(bool(images))}.onnx"
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
        options, path = self.options, folder / f"{self.stem()}.torchscript"
        settings: dict[str, Any] = {"dynamic": options.dynamic, "half": options.half, "device": self.device}
        path.write_bytes(torchscript_bytes(self.model, self.metadata, **settings))
        return path, self.verified(load_detector(path, self.device))

    def make_openvino(self, folder: Path) -> tuple[Path, Report]:
        """Write the OpenVINO folder; return (path, Report)."""
        images, stem, graph = self.calibration(), self.weights.stem, folder / "graph.onnx"
        content = self.graph()  # NNCF finds Detect by the names of its nodes
        graph.write_bytes(content.SerializeToString() if images else onnx_bytes(content, self.metadata))
        path = folder / f"{self.stem(bool(images))}{OPENVINO_SUFFIX}"
        detect = self.model.model[-1].i
        write_openvino(graph, path, stem, self.metadata, half=self.options.half, images=images, detect=detect)
        return path, self.verified(load_detector(path), quantized=bool(images))

    def make_ncnn(self, folder: Path) -> tuple[Path, Report]:
        """Write the ncnn folder; return (path, Report)."""
        graph, path = folder / "graph.onnx", folder / f"{self.stem()}{NCNN_SUFFIX}"
        graph.write_bytes(self.graph().SerializeToString())
        write_ncnn(graph, path, self.metadata, half=self.options.half)
        return path, self.verified(load_detector(path))

    def make_engine(self, folder: Path) -> tuple[Path, Report]:
        """Write the TensorRT engine; return (path, Report)."""
        graph, path = folder / "graph.onnx", folder / f"{self.stem()}.engine"
        graph.write_bytes(self.graph(half=self.options.half).SerializeToString())
        path.write_bytes(engine_bytes(graph, self.options.workspace))
        return path, self.verified(EngineRuntime(path, self.metadata, self.device))

    def make_rknn(self, folder: Path) -> tuple[Path, Report]:
        """Write the ONNX file for RKNN-Toolkit2 and what decodes its maps; return (path of the ONNX file, Report)."""
        options, path = self.options, folder / f"{self.stem()}_rknn.onnx"
        write_rknn(path, self.model, self.metadata, opset=options.opset, simplify=options.simplify)
        return path, self.verified(load_detector(path))

    def make_tflite(self, folder: Path) -> tuple[Path, Report]:
        """Write the TFLite file; return (path, Report)."""
        images = self.calibration()
        path = folder / f"{self.stem(bool(images))}.tflite"
        write_tflite(path, self.model, self.metadata, images)
        return path, self.verified(load_detector(path), quantized=bool(images))

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


def put(made: Path, target: Path) -> None:
    """Move a finished file or folder into its place; what was there before goes."""
    if made.is_dir() and target.exists():
        target.rename(made.parent / "before")
    made.replace(target)
