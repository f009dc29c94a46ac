"""One way to call a detector: .pt, .onnx, .torchscript, .tflite, or a folder of OpenVINO or ncnn."""

import json
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.errors import InputError, readable
from utils.files.checkpoint import load_checkpoint
from utils.files.downloads import find_weights
from utils.files.paths import find_file
from utils.files.yaml import read_mapping
from utils.runtimes.ensemble import Ensemble
from utils.runtimes.interface import Runtime, fixed_shape
from utils.runtimes.maps import Scales, decode_maps
from utils.runtimes.metadata import FACTS, read_cost, read_names_and_stride, read_scales, read_shape
from utils.runtimes.packages import need
from utils.runtimes.tflite import TfliteRuntime

OPENVINO_SUFFIX = "_openvino_model"  # of the folder that holds .xml, .bin and metadata.yaml
NCNN_SUFFIX = "_ncnn_model"  # of the folder that holds the files of NCNN_FILES and metadata.yaml
NCNN_FILES = ("model.ncnn.param", "model.ncnn.bin")  # network, weights
EXPORTED = (".onnx", ".torchscript", ".tflite")  # files
FOLDERS = (OPENVINO_SUFFIX, NCNN_SUFFIX)
NETWORK_FLAGS = ("visualize", "sparsity", "cfg")  # that one checkpoint has
PYTORCH_FLAGS = ("augment", "half", *NETWORK_FLAGS)


def load_detector(
    path: str | Path, device: str | torch.device = "cpu", threads: int | None = None, half: bool = False
) -> Runtime:
    """Return the runtime of a file, ready to be called.

    Args:
        path: a checkpoint, or one of the files and folders that export.py writes; files also by name in weights/.
        device: torch.device or its name; ONNX files run on the CPU unless it is a GPU they support, .tflite files
            and folders always.
        threads: computing threads of ONNX Runtime, OpenVINO, ncnn, LiteRT; None: their own choice. PyTorch's are set by
            torch.
        half: let a .pt file compute in FP16.

    Raises InputError for a missing file, a package that is not installed, and a file of another detector.
    """
    device = torch.device(device)
    path = Path(path) if is_folder(path) else find_file(path, "weights", what="weight file")
    kinds: dict[str, Callable[[], Runtime]] = {
        ".pt": partial(TorchRuntime, path, device, half=half),
        ".onnx": partial(OnnxRuntime, path, device, threads),
        ".torchscript": partial(ScriptRuntime, path, device),
        ".tflite": partial(TfliteRuntime, path, threads),
        OPENVINO_SUFFIX: partial(OpenVinoRuntime, path, threads),
        NCNN_SUFFIX: partial(NcnnRuntime, path, threads),
    }
    for ending, load in kinds.items():
        if path.name.lower().endswith(ending):
            return load()
    raise InputError(f"{path}: unknown kind of file; must end in {', '.join(kinds)}")


def is_folder(name: str | Path) -> bool:
    """Tell whether a name is that of a model that is a folder."""
    return Path(name).name.endswith(FOLDERS)


def is_exported(name: str | Path) -> bool:
    """Tell whether a name is that of a file or folder that export.py writes."""
    return Path(name).suffix.lower() in EXPORTED or is_folder(name)


def open_weights(options: Any, device: torch.device) -> DetectionModel | Runtime:
    """Return what val.py and detect.py run: the DetectionModel of a checkpoint, the runtime of a file, or an Ensemble.

    options: their dataclass, with `weights`, a name or a list, and flags. Raises InputError, also for flags that only
    work with PyTorch, or with one checkpoint.
    """
    names = weight_files(options.weights)
    check_flags(options, names)
    if len(names) > 1:
        return Ensemble([load_detector(name if is_exported(name) else find_weights(name), device) for name in names])
    if is_exported(names[0]):
        return load_detector(names[0], device)
    cfg = getattr(options, "cfg", "")
    cfg = find_file(cfg, "models", "models/hub", what="model yaml") if cfg else None
    checkpoint = load_checkpoint(find_weights(names[0]), cfg)
    return checkpoint.network


def weight_files(weights: str | Path | Sequence[str]) -> list[str]:
    """Return the names in --weights, one or several, as a list."""
    return [str(weights)] if isinstance(weights, (str, Path)) else list(map(str, weights))


def check_flags(options: Any, names: Sequence[str]) -> None:
    """Raise InputError for a flag that the files with these names do not know."""
    exported = next(filter(is_exported, names), None)
    refused = PYTORCH_FLAGS if exported else NETWORK_FLAGS if len(names) > 1 else ()
    for flag in refused:
        if getattr(options, flag, None):
            kind, found = ("with .pt files", exported) if exported else ("with one checkpoint", f"{len(names)} files")
            raise InputError(f"--{flag}: works {kind} only, not with {found}")


def folded(
    model: DetectionModel, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> DetectionModel:
    """Return a copy of a network that is ready to detect: batch norms folded, laid out as is fastest on its device."""
    layout = torch.channels_last if torch.device(device).type == "cpu" else torch.preserve_format
    copy = deepcopy(model).float().eval().fuse().requires_grad_(False)
    return copy.to(device, dtype).to(memory_format=layout)


class TorchRuntime(Runtime):
    """A checkpoint, or a DetectionModel that is there already, with folded batch norms, in float32 or FP16."""

    label = "PyTorch"

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device = "cpu",
        model: DetectionModel | None = None,
        half: bool = False,
    ) -> None:
        """model: None, or the network to use instead of reading the file; it stays as it is. half: compute in FP16."""
        if model is None:
            checkpoint = load_checkpoint(path)
            model = checkpoint.network
        super().__init__(path, model.names, model.size_multiple, device=device)
        self.cost = count_parameters(model), count_gflops(model)
        self.dtype = torch.float16 if half else torch.float32
        self.model = folded(model, device, self.dtype)

    def __call__(self, images: torch.Tensor, augment: bool = False) -> torch.Tensor:
        """Return the predictions for images; augment: at three scales, one of them flipped."""
        with torch.no_grad():
            return self.model(images.to(self.device, self.dtype), augment=augment)[0].float()


class OnnxRuntime(Runtime):
    """A .onnx file in ONNX Runtime. Maps of one that ends before boxes are decoded are decoded here."""

    label = "ONNX Runtime"

    def __init__(self, path: Path, device: str | torch.device = "cpu", threads: int | None = None) -> None:
        runtime = need("onnxruntime", str(path))
        self.session = start_session(runtime, path, torch.device(device), threads)
        facts = self.session.get_modelmeta().custom_metadata_map
        names, stride = read_names_and_stride(facts, path)
        self.scales = read_scales(facts, path)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        expected = len(self.scales.strides) if self.scales else 1
        if len(inputs) != 1 or len(outputs) != expected or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
            found = f"{len(inputs)} inputs and {len(outputs)} outputs"
            wanted = f"one input, images [B, 3, H, W], and {expected} output{'s' * (expected != 1)}"
            raise InputError(f"{path}: {found}; must be {wanted}")
        sizes = [size if isinstance(size, int) else None for size in inputs[0].shape]
        super().__init__(path, names, stride, fixed_shape(sizes, path), sizes[0])
        self.nms, self.cost = facts.get("nms") == "True", read_cost(facts)
        self.input, self.half = inputs[0].name, inputs[0].type == "tensor(float16)"
        if self.scales:
            self.check_maps([output.shape for output in outputs], self.scales)
        else:
            self.check_columns(outputs[0].shape)

    def check_maps(self, shapes: Sequence[Sequence[Any]], scales: Scales) -> None:
        """Raise InputError when outputs of these shapes are not the maps of a YOLOv5 detector with these Scales."""
        expected = [len(sizes) * (5 + self.nc) for sizes in scales.anchors]
        if [shape[1] if len(shape) == 4 else None for shape in shapes] != expected:
            found = ", ".join(str(list(shape)) for shape in shapes)
            raise InputError(f"{self.path}: its outputs are {found}, but must be maps of {expected} channels")

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output [B, N, 5 + nc] or [n, 7]."""
        images = images.cpu().half() if self.half else images.cpu().float()
        outputs = self.session.run(None, {self.input: images.numpy()})
        return torch.from_numpy(decode_maps(outputs, self.scales) if self.scales else outputs[0])


def start_session(runtime: ModuleType, path: Path, device: torch.device, threads: int | None) -> Any:
    """Return an InferenceSession. Raises InputError when the file is unreadable or the device not supported."""
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" not in runtime.get_available_providers():
            way = "pip install onnxruntime-gpu, or --device cpu"
            raise InputError(f"--device {device}: this ONNX Runtime has no CUDA; {way}")
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    if threads:
        options.intra_op_num_threads = threads
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions have no common class below this one
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable ONNX file ({reason[:200]})") from None


class ScriptRuntime(Runtime):
    """A .torchscript file."""

    label = "TorchScript"

    def __init__(self, path: Path, device: str | torch.device = "cpu") -> None:
        extra = {"config.txt": ""}
        with readable(path, "TorchScript file"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # TorchScript's successor is announced on every use
                self.module = torch.jit.load(str(path), map_location=device, _extra_files=extra).eval()
            facts = json.loads(extra["config.txt"] or "{}")
        names, stride = read_names_and_stride(facts, path)
        open_sizes = (None, 3, None, None)
        sizes = open_sizes if facts.get("dynamic") else facts.get("shape") or open_sizes
        super().__init__(path, names, stride, fixed_shape(sizes, path), sizes[0], device)
        self.half, self.cost = facts.get("half", False), read_cost(facts)

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output [B, N, 5 + nc]."""
        with torch.no_grad():
            output = self.module(images.to(self.device, torch.float16 if self.half else torch.float32))
        output = output[0] if isinstance(output, (tuple, list)) else output
        self.check_columns(output.shape)
        return output


class OpenVinoRuntime(Runtime):
    """A folder x_openvino_model with x.xml, x.bin and metadata.yaml, on the CPU."""

    label = "OpenVINO"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        files = sorted(path.glob("*.xml"))
        if len(files) != 1:
            raise InputError(f"{path}: holds {len(files)} .xml files; must be an OpenVINO folder with one")
        openvino = need("openvino", str(path))
        facts = read_mapping(path / FACTS, "names and stride")
        names, stride = read_names_and_stride(facts, path)
        core = openvino.Core()
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
        try:
            model = core.read_model(str(files[0]))
            self.compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{files[0]}: not a readable OpenVINO model ({reason})") from None
        sizes = [size.get_length() if size.is_static else None for size in model.inputs[0].partial_shape]
        super().__init__(path, names, stride, fixed_shape(sizes, path), sizes[0])
        self.nms, self.cost = str(facts.get("nms")) == "True", read_cost(facts)
        self.check_columns([size.get_length() if size.is_static else None for size in model.outputs[0].partial_shape])

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output [B, N, 5 + nc] or [n, 7]."""
        return torch.from_numpy(self.compiled(images.cpu().float().numpy())[0].copy())


class NcnnRuntime(Runtime):
    """A folder x_ncnn_model with the files of NCNN_FILES and metadata.yaml, on the CPU, computed in float32."""

    label = "ncnn"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        missing = [name for name in NCNN_FILES if not (path / name).is_file()]
        if missing:
            raise InputError(f"{path}: no {' and no '.join(missing)}; must be an ncnn folder written by export.py")
        self.ncnn = need("ncnn", str(path))
        facts = read_mapping(path / FACTS, "names and stride")
        names, stride = read_names_and_stride(facts, path)
        super().__init__(path, names, stride, read_shape(facts, path), batch=1)
        self.cost, self.net = read_cost(facts), self.ncnn.Net()
        self.net.opt.use_fp16_storage = self.net.opt.use_fp16_packed = self.net.opt.use_fp16_arithmetic = False
        if threads:
            self.net.opt.num_threads = threads
        network, weights = (str(path / name) for name in NCNN_FILES)
        if self.net.load_param(network) or self.net.load_model(weights):
            raise InputError(f"{path}: not a readable ncnn model")

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output [1, N, 5 + nc]."""
        extractor = self.net.create_extractor()
        extractor.input("in0", self.ncnn.Mat(images[0].cpu().float().numpy()).clone())
        status, output = extractor.extract("out0")
        if status:
            raise InputError(f"{self.path}: ncnn cannot run it; must be a network of one input and one output")
        output = torch.from_numpy(output.numpy().copy())[None]
        self.check_columns(output.shape)
        return output
