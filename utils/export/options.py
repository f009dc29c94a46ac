"""The flags of export.py."""

from dataclasses import dataclass

from utils.cli.options import option
from utils.errors import InputError

OPSET, OPSETS = 17, (11, 20)  # default; oldest and newest that PyTorch's exporter and the suppression are written in
INT8_OPSET = 13  # the oldest with a scale for each channel
RKNN_OPSETS = (12, 19)  # that RKNN-Toolkit2 reads, from its version 1.6.0 on
PACKAGES = {  # that each format needs
    "onnx": ("onnx", "onnxruntime"),
    "torchscript": (),
    "openvino": ("onnx", "openvino"),
    "ncnn": ("onnx", "pnnx", "ncnn"),
    "engine": ("onnx", "tensorrt"),
    "rknn": ("onnx", "onnxruntime"),
    "tflite": ("litert_torch", "ai_edge_litert"),
    "yolov5": (),
}


@dataclass
class ExportOptions:
    """Options of export.py."""

    weights: str = option("yolov5s.pt", "checkpoint (.pt)")
    include: list[str] = option(
        ["torchscript"],
        "formats; rknn: an ONNX file for RKNN-Toolkit2; yolov5: a model yaml and weights for the public train.py",
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
    int8: bool = option(False, "ONNX, OpenVINO, TFLite: compute in 8 bits, calibrated on the training images of --data")
    dynamic: bool = option(False, "ONNX, OpenVINO, TorchScript: batch and image size stay open")
    simplify: bool = option(False, "ONNX: let onnxslim shorten the graph")
    opset: int = option(OPSET, "ONNX: version of the operators", minimum=OPSETS[0], maximum=OPSETS[1])
    nms: bool = option(False, "ONNX: suppression inside, output [n, 7]: image, x1, y1, x2, y2, score, class")
    conf_thres: float = option(0.25, "with --nms, least confidence of a detection", minimum=0, below=1)
    iou_thres: float = option(0.45, "with --nms, overlap above which a box goes", minimum=0, maximum=1)
    max_det: int = option(300, "with --nms, most detections an image", minimum=1)
    workspace: int = option(4, "TensorRT: memory for building in GB", minimum=1)

    @property
    def graphs(self) -> set[str]:
        """The formats that are made of an ONNX graph whose kind of numbers is chosen here."""
        return {"onnx", "openvino"} & set(self.include)

    def check(self) -> None:
        """Raise InputError for flags that exclude each other or have no effect."""
        if len(self.imgsz) > 2:
            raise InputError(f"--imgsz {' '.join(map(str, self.imgsz))}: must be one number, or height and width")
        if self.int8 and not self.data:
            raise InputError("--int8: needs images to calibrate on; name them with --data")
        if self.int8 and self.half:
            raise InputError("--int8 and --half: exclude each other; give one of them")
        if self.int8 and self.opset < INT8_OPSET:
            reason = f"eight bits with a scale for each channel are known from opset {INT8_OPSET} on"
            raise InputError(f"--opset {self.opset} --int8: {reason}; leave one of them out")
        if self.int8 and not {*self.graphs, "tflite"} & set(self.include):
            raise InputError("--int8: has no effect without --include onnx, openvino or tflite")
        if self.nms and "onnx" not in self.include:
            raise InputError("--nms: has no effect without --include onnx")
        if self.half and "torchscript" in self.include and self.device == "cpu":
            raise InputError("--half: TorchScript in FP16 needs a GPU; give --device 0, or leave torchscript out")
        self.check_fixed()

    def check_fixed(self) -> None:
        """Raise InputError for flags that the formats of fixed size do not know."""
        for name in ("engine", "ncnn", "rknn"):
            if name in self.include and (self.int8 or self.dynamic):
                fixed = "files are of fixed size, FP32 or FP16; leave out --int8 and --dynamic"
                raise InputError(f"--include {name}: {fixed}")
            if name != "engine" and name in self.include and self.batch_size > 1:
                raise InputError(f"--batch-size {self.batch_size}: {name} takes one image at a time; leave it out")
        if "tflite" in self.include:
            self.check_tflite()
        if "rknn" not in self.include:
            return
        if self.half:
            raise InputError("--include rknn --half: RKNN-Toolkit2 makes FP16 of an FP32 file itself; leave --half out")
        if not RKNN_OPSETS[0] <= self.opset <= RKNN_OPSETS[1]:
            limits = "{} to {}".format(*RKNN_OPSETS)
            raise InputError(f"--opset {self.opset}: RKNN-Toolkit2 reads {limits}; leave it out, {OPSET} is used then")

    def check_tflite(self) -> None:
        """Raise InputError for flags that TFLite files do not know."""
        if self.half or self.dynamic:
            raise InputError("--include tflite: files are of fixed size, FP32 or INT8; leave out --half and --dynamic")
        if self.batch_size > 1:
            raise InputError(f"--batch-size {self.batch_size}: tflite takes one image at a time; leave it out")
