"""Seconds that a cut takes, for YOLOv5 n to x: python benchmarks/pruning_time.py [--percent 0.5] [--peer].

--peer also lets torch-pruning (PyPI) remove the same share by batch norm scale, globally, and save with torch.save.
With --parts it says where the time goes, and what memory is needed.
Networks are untrained, whose gammas are drawn at random here: that makes the choice arbitrary but not the work.
"""

import io
import sys
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing.rows import Row, command, computing, in_turns, table  # noqa: E402  (the path comes first)
from models.cost import count_gflops, count_parameters  # noqa: E402
from models.yolo import DetectionModel  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.files.checkpoint import checkpoint_bytes, finished_content  # noqa: E402
from utils.files.paths import ROOT  # noqa: E402
from utils.pruning.channels.groups import trace_channels  # noqa: E402
from utils.pruning.channels.rebuild import rebuild  # noqa: E402
from utils.pruning.choice.costs import ChannelCost  # noqa: E402
from utils.pruning.choice.limits import Limits  # noqa: E402
from utils.pruning.choice.selection import select_by_cost  # noqa: E402
from utils.pruning.scores.parameters import gamma_scores  # noqa: E402
from utils.runtimes.packages import need  # noqa: E402

SCRIPT = "benchmarks/pruning_time.py"
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # Linux; elsewhere memory is not measured


@dataclass
class BenchmarkOptions:
    """Options of this benchmark."""

    percent: float = option(0.5, "share of the channels that goes", minimum=0, below=1)
    models: list[str] = option(["n", "s", "m", "l", "x"], "sizes", nargs="+", choices=("n", "s", "m", "l", "x"))
    peer: bool = option(False, "compare with torch-pruning")
    rounds: int = option(3, "times that each is measured, in turns", minimum=1)
    parts: bool = option(False, "say where the time goes instead")


def rows(options):
    """Return a row for each network."""
    torch.set_num_threads(1)
    return [whole(size, options) for size in options.models]


def whole(size, options):
    """Return the row of a network: CPU seconds of the whole cut."""
    model = make_model(size)
    ways = (cut, cut_by_peer) if options.peer else (cut,)
    calls = (lambda way=way: computing(lambda: way(model, options.percent)) for way in ways)
    here, *reference = in_turns(options.rounds, *calls)
    against = "torch-pruning" if options.peer else ""
    return Row(f"a cut of yolov5{size}", "CPU s", here, *reference, against=against)


def main(options):
    """Print the table, or what each part took."""
    if not options.parts:
        return print(table(rows(options), command(SCRIPT, options)))
    print(
        f"{'model':<24}{'trace':>8}{'score':>8}{'select':>8}{'rebuild':>9}{'write':>8}{'all':>8} CPU seconds"
        f"{'memory':>10} of the model's"
        f"{'FLOPs left':>12}"
    )
    for size in options.models:
        model = make_model(size)
        report(f"yolov5{size}", model, cut, options.percent)
        if options.peer:
            report(f"yolov5{size}, torch-pruning", model, cut_by_peer, options.percent)


def make_model(size):
    """Return an untrained YOLOv5 with random gammas."""
    torch.manual_seed(0)
    model = DetectionModel(ROOT / f"models/yolov5{size}.yaml").eval()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight)
    return model


def report(name, model, way, percent):
    """Print one row: the seconds of each part, the peak of memory beyond what was held, as a share of the model's."""
    before, start = reset_memory(), time.process_time()
    narrow, times = way(model, percent)
    parts = [b - a for a, b in zip([start, *times], times)]
    size = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    memory = "-" if before is None else f"{(read_memory('VmHWM') - before) / size:.2f}"
    words = "".join(f"{part:{width}.2f}" for part, width in zip([*parts, sum(parts)], (8, 8, 8, 9, 8, 8)))
    left = count_gflops(narrow) / count_gflops(model)
    print(f"{name:<24}{words}{memory:>18}{'':16}{left:11.0%}  {count_parameters(narrow):,} parameters", flush=True)


def cut(model, percent):
    """Return (narrow network, [time after tracing, scoring, selecting, rebuilding, writing])."""
    graph = trace_channels(model)
    times = [time.process_time()]
    scores = gamma_scores(model, graph)
    times.append(time.process_time())
    keep = select_by_cost(scores, ChannelCost(graph.channel_counts()), 1 - percent, Limits(8, 0.9, 8))
    times.append(time.process_time())
    narrow = rebuild(model, graph, keep)
    times.append(time.process_time())
    checkpoint_bytes(finished_content(narrow))
    return narrow, [*times, time.process_time()]


def cut_by_peer(model, percent):
    """Return the same of torch-pruning; scoring, selecting and rebuilding are one step there, listed as rebuilding."""
    peer = need("torch_pruning", "--peer")
    model = deepcopy(model)
    for parameter in model.parameters():
        parameter.requires_grad_(True)  # it follows gradients
    detect = model.model[-1]
    pruner = peer.pruner.BNScalePruner(
        model,
        torch.zeros(1, 3, 64, 64),
        peer.importance.BNScaleImportance(),
        global_pruning=True,
        pruning_ratio=percent,
        max_pruning_ratio=0.9,
        round_to=8,
        ignored_layers=[detect],
    )
    times = [time.process_time()] * 3
    pruner.step()
    times.append(time.process_time())
    torch.save(deepcopy(model).half(), io.BytesIO())
    return model, [*times, time.process_time()]


def reset_memory():
    """Begin to measure the peak of memory anew; return the bytes in use, or None where that cannot be measured."""
    if not RESET.exists():
        return None
    RESET.write_text("5")
    return read_memory("VmRSS")


def read_memory(key):
    """Return a line of the process's status in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    run(BenchmarkOptions, main, __doc__)
