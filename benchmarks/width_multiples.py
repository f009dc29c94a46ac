"""How much of the saved FLOPs becomes time when kept widths are multiples of 1, 4, 8, 16 or 32.

    python benchmarks/width_multiples.py --cfg yolov5n.yaml yolov5s.yaml yolov5m.yaml --imgsz 640
    python benchmarks/width_multiples.py --weights best.pt --multiples 8 16

Networks with random weights are cut to half of their FLOPs, every group to a random share of its channels, rounded to
the multiple; trained ones (--weights) as prune.py cuts them. Then all of one size take turns on ONNX Runtime, OpenVINO
or PyTorch. An ideal cut to half is twice as fast; the last column is the part of that reached.
"""

import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cost import count_gflops  # noqa: E402
from models.yolo import DetectionModel  # noqa: E402
from utils.benchmark.latency import WALL_CLOCK, computing_threads, noise, pytorch_call, speedup, summarise, take_turns  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.export.onnx import onnx_bytes, onnx_graph  # noqa: E402
from utils.export.openvino import write_openvino  # noqa: E402
from utils.files.checkpoint import load_checkpoint  # noqa: E402
from utils.files.paths import find_file  # noqa: E402
from utils.pruning.channels.groups import trace_channels  # noqa: E402
from utils.pruning.channels.rebuild import rebuild  # noqa: E402
from utils.pruning.choice.costs import NetworkCost  # noqa: E402
from utils.pruning.choice.limits import Limits  # noqa: E402
from utils.pruning.choice.milliseconds import random_cut  # noqa: E402
from utils.pruning.choice.selection import select_by_cost  # noqa: E402
from utils.pruning.options import PruneOptions  # noqa: E402
from utils.pruning.recipe import AGGREGATES  # noqa: E402
from utils.pruning.scores.criteria import score_channels  # noqa: E402
from utils.runtimes.metadata import describe_model  # noqa: E402
from utils.runtimes.runtimes import OPENVINO_SUFFIX, TorchRuntime, load_detector  # noqa: E402

STEPS = 12  # halvings of the interval in which the share of channels lies


@dataclass
class Options:
    """Options of this script."""

    cfg: list[str] = option(["yolov5n.yaml", "yolov5s.yaml", "yolov5m.yaml"], "model yamls", nargs="+")
    weights: list[str] = option([], "instead of --cfg: checkpoints, which are cut as prune.py cuts them", nargs="+")
    imgsz: int = option(640, "side of the images in pixels", minimum=32)
    multiples: list[int] = option([1, 4, 8, 16, 32], "multiples that widths are rounded to", nargs="+", minimum=1)
    flops: float = option(0.5, "share of the FLOPs that stays", minimum=0.05, below=1)
    runtime: str = option("onnx", "what computes", choices=("onnx", "openvino", "torch"))
    rounds: int = option(30, "how often each network runs", minimum=2)
    threads: int = option(1, "computing threads", minimum=1)
    seed: int = option(0, "start of the random shares", minimum=0)


def drawn_cut(model, graph, multiple, goal, seed):
    """Return the network whose FLOPs are closest to the share `goal` of the model's."""
    dense, low, high, found = count_gflops(model), 0.0, 2.0, None
    for _ in range(STEPS):
        middle = (low + high) / 2
        narrow = rebuild(model, graph, random_cut(graph, middle, np.random.default_rng(seed), multiple))
        share = count_gflops(narrow) / dense
        if found is None or abs(share - goal) < abs(count_gflops(found) / dense - goal):
            found = narrow
        low, high = (middle, high) if share < goal else (low, middle)
    return found


def chosen_cut(model, graph, multiple, goal, seed):
    """Return what prune.py would leave of a model: about the share `goal` of its FLOPs."""
    scores = score_channels(model, graph, PruneOptions.criterion, AGGREGATES[0])
    limits = Limits(PruneOptions.min_channels, PruneOptions.max_layer_share, multiple)
    return rebuild(model, graph, select_by_cost(scores, NetworkCost.flops(graph, model), goal, limits))


def candidates(options):
    """Return [(name, dense DetectionModel, function that cuts it)]."""
    if options.weights:
        return [(name, load_checkpoint(name).model, chosen_cut) for name in options.weights]
    files = [find_file(name, "models", what="model yaml") for name in options.cfg]
    return [(file.name, DetectionModel(file).eval(), drawn_cut) for file in files]


def onnx_call(network, shape, path, options):
    """Return a callable that runs a network on an image of shape (height, width) in ONNX Runtime, from path.onnx."""
    file = path.with_suffix(".onnx")
    write_onnx(network, shape, file)
    return partial(load_detector(file, threads=options.threads).infer, noise(shape))


def openvino_call(network, shape, path, options):
    """Return a callable that runs a network on an image of shape (height, width) in OpenVINO, from a folder at path."""
    file, folder = path.with_suffix(".onnx"), path.with_name(path.name + OPENVINO_SUFFIX)
    write_openvino(file, folder, path.name, write_onnx(network, shape, file))
    return partial(load_detector(folder, threads=options.threads).infer, noise(shape))


def write_onnx(network, shape, file):
    """Write a network's ONNX file for images of shape (height, width); return its Metadata."""
    metadata = describe_model(network, shape)
    file.write_bytes(onnx_bytes(onnx_graph(network, metadata), metadata))
    return metadata


def torch_call(network, shape, path, options):
    """Return a callable that runs a network on an image of shape (height, width) in PyTorch."""
    return pytorch_call(TorchRuntime(path, model=network), noise(shape))


CALLS = {"onnx": onnx_call, "openvino": openvino_call, "torch": torch_call}


def measure(options):
    """Print the table of each network."""
    for name, dense, narrow in candidates(options):
        graph = trace_channels(dense)
        networks = {"dense": dense}
        networks |= {m: narrow(dense, graph, m, options.flops, options.seed) for m in options.multiples}
        shape = options.imgsz, options.imgsz
        with tempfile.TemporaryDirectory() as folder, computing_threads(options.threads):
            ready = CALLS[options.runtime]
            calls = {key: ready(network, shape, Path(folder) / str(key), options) for key, network in networks.items()}
            times = take_turns(calls, options.rounds, WALL_CLOCK)
        facts = f"{options.threads} thread(s), {options.rounds} rounds, seed {options.seed}"
        print(f"\n{name}, {options.runtime}, {options.imgsz} px, {facts}")
        print(f"{'multiple of':<12}{'FLOPs left':>11}{'ms':>9}{'faster':>8}{'ideal':>7}{'reached':>9}")
        for key, network in networks.items():
            share = count_gflops(network) / count_gflops(dense)
            faster = speedup(times["dense"], times[key])[0]
            print(
                f"{key:<12}{share:11.1%}{summarise(times[key]).median:9.2f}{faster:7.2f}x{1 / share:6.2f}x"
                f"{faster * share:9.2f}"
            )


if __name__ == "__main__":
    run(Options, measure, __doc__)
