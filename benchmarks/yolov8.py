"""How much faster examples/ultralytics/prune_ultralytics.py makes YOLOv8 and YOLO11, and how exact its cut is.

python benchmarks/yolov8.py [--flops 0.4] [--imgsz 640] [--rounds 15] [yolov8n yolo11n …]: networks with random weights
from the yamls of the ultralytics package; ONNX Runtime, one thread, dense and cut in turns, seconds of the own thread.
"""

import argparse
import importlib.util
import io
import statistics
from copy import deepcopy
from pathlib import Path
from time import thread_time

import onnxruntime
import torch

EXAMPLE = Path(__file__).parents[1] / "examples/ultralytics/prune_ultralytics.py"
SPEC = importlib.util.spec_from_file_location("prune_ultralytics", EXAMPLE)
example = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example)  # puts the project on the path
masked = importlib.import_module("utils.pruning.channels.rebuild").masked


def shaken(name):
    """Return a network of that package with random weights and batch norms that are not all alike."""
    network = example.YOLO(f"{name}.yaml").model.float().eval()
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        for tensor, low, high in ((norm.weight, 0.5, 1.5), (norm.running_var, 0.5, 1.5), (norm.bias, -0.2, 0.2)):
            torch.nn.init.uniform_(tensor, low, high)
    return network


def session(network, image):
    """Return the ONNX Runtime session of a network as that package exports it, for one thread."""
    network, file, options = deepcopy(network).fuse(verbose=False), io.BytesIO(), onnxruntime.SessionOptions()
    network.model[-1].export, network.model[-1].format = True, "onnx"
    for block in network.modules():
        if hasattr(block, "forward_split"):
            block.forward = block.forward_split
    torch.onnx.export(network, image, file, opset_version=17, dynamo=False)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


def milliseconds(networks, imgsz, rounds):
    """Return the median of each network's milliseconds for an image; they take turns."""
    image = torch.rand(1, 3, imgsz, imgsz)
    sessions, times = [session(network, image) for network in networks], [[] for _ in networks]
    for step in range(rounds + 2):
        for one, spent in zip(sessions, times, strict=True):
            start = thread_time()
            one.run(None, {one.get_inputs()[0].name: image.numpy()})
            if step >= 2:  # the first rounds do not count
                spent.append(thread_time() - start)
    return [1000 * statistics.median(spent) for spent in times]


def error(network, graph, keep, narrow):
    """Return the largest difference between the masked and the narrower network, as a share of the largest value."""
    image, layers = torch.rand(1, 3, 128, 128), example.Layers(network)
    with torch.no_grad():
        pairs = [*zip(masked(layers, graph, keep)(image), example.Layers(narrow)(image), strict=True)]
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["yolov8n", "yolo11n", "yolov8n-seg", "yolo11n-seg", "yolo26n"])
    parser.add_argument("--flops", type=float, default=0.4)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print("| network | FLOPs off | ms before | ms after | times as fast | error |\n|---|--:|--:|--:|--:|--:|")
    for name in options.names:
        torch.manual_seed(0)
        whole = shaken(name)
        network = example.build(whole, example.Unrolled(whole).layers)
        graph, layers = example.traced(network), example.Layers(network)
        keep = example.chosen(network, graph, example.score(layers, graph), options.flops)
        narrow, cost = example.narrowed(network, graph, keep), example.NetworkCost.traced_flops(graph, layers, 1)
        before, after = milliseconds([whole, narrow], options.imgsz, options.rounds)
        gone, apart = 1 - cost.of(keep) / cost.total, error(network, graph, keep, narrow)
        print(f"| {name} | {gone:.1%} | {before:.1f} | {after:.1f} | {before / after:.2f} | {apart:.0e} |", flush=True)


if __name__ == "__main__":
    main()
