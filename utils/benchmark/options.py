"""The flags of benchmark.py."""

from dataclasses import dataclass

from utils.cli.options import option
from utils.errors import InputError

RUNTIMES = ("torch", "onnx")  # that a network in memory can be measured in


@dataclass
class BenchmarkOptions:
    """Options of benchmark.py."""

    weights: list[str] = option(
        ["yolov5s.pt"],
        "files to compare with the first: .pt, .onnx, .torchscript, .tflite, exported folders",
        nargs="+",
    )
    imgsz: list[str] = option(
        ["640"], "sizes in pixels: 640, or height,width such as 800,1280", "--img", "--img-size", nargs="+"
    )
    threads: list[int] = option([1], "computing threads, one table for each", nargs="+", minimum=1)
    rounds: int = option(50, "how often each file runs", minimum=2)
    data: str = option("", "data yaml whose validation images the mAP is measured on")
    device: str = option("cpu", "cpu, or the number of a GPU: there .pt files also run as CUDA graphs")
    half: bool = option(False, "on a GPU, .pt files also run in FP16")
    project: str = option("runs/benchmark", "folder of the runs")
    name: str = option("exp", "folder of this run")
    exist_ok: bool = option(False, "write into the run's folder even if it exists")

    def check(self) -> None:
        """Raise InputError for a size that is none."""
        self.sizes()

    def sizes(self) -> list[tuple[int, int]]:
        """Return the (height, width) that --imgsz names. Raises InputError."""
        shapes = []
        for text in self.imgsz:
            parts = text.split(",")
            if len(parts) > 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
                raise InputError(f"--imgsz {text}: must be a number of pixels, or height,width such as 800,1280")
            shapes.append((int(parts[0]), int(parts[-1])))
        return shapes
