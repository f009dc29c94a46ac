"""ncnn folders, made from an ONNX file by pnnx, ncnn's own converter."""

import subprocess
import tempfile
from pathlib import Path

from utils.errors import InputError
from utils.runtimes.metadata import Metadata, write_facts
from utils.runtimes.packages import need
from utils.runtimes.runtimes import NCNN_FILES

LEFT_OUT = ("pnnxparam", "pnnxbin", "pnnxpy", "pnnxonnx", "ncnnpy")  # what pnnx writes besides the network


def write_ncnn(onnx_file: Path, folder: Path, metadata: Metadata, *, half: bool = False) -> None:
    """Write folder/model.ncnn.param, model.ncnn.bin and metadata.yaml from an ONNX file of fixed size, for one image.

    half: store the weights in FP16. Raises InputError when pnnx is not installed or cannot convert the network.
    """
    pnnx = need("pnnx", "--include ncnn")
    folder.mkdir()
    network, weights = (folder / name for name in NCNN_FILES)
    height, width = metadata.imgsz
    with tempfile.TemporaryDirectory() as place:
        command = [
            pnnx.EXEC_PATH,
            onnx_file,
            f"inputshape=[1,3,{height},{width}]",
            f"fp16={int(half)}",
            f"ncnnparam={network}",
            f"ncnnbin={weights}",
            *(f"{name}={Path(place) / name}" for name in LEFT_OUT),
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace")
    if done.returncode or not network.is_file():
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it says nothing"]
        raise InputError(f"--include ncnn: pnnx cannot convert this network (exit code {done.returncode}: {said[0]})")
    write_facts(metadata, folder)
