"""Prune YOLOv8, YOLO11 and YOLO26 detectors, YOLOv8 and YOLO11 segmenters, with the ultralytics package.

    pip install ultralytics
    python examples/ultralytics/prune_ultralytics.py --weights yolov8n.pt --flops 0.4 --data coco128.yaml

Writes yolov8n_pruned.pt, which YOLO("yolov8n_pruned.pt") loads, validates, exports and trains without this project.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("YOLO_OFFLINE", "true")  # the package asks the network for versions otherwise
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

import numpy as np
import torch
from torch import nn

from utils.errors import InputError, one_line
from utils.pruning.choice.costs import NetworkCost
from utils.pruning.choice.limits import Limits
from utils.pruning.scores.parameters import ChannelParameters
from utils.sparsity.fading import FadeOut
from utils.sparsity.goal import Goal
from yolov5_slim.networks import ChannelGraph, Masks, channels, cut, score, select

try:
    from ultralytics import YOLO, __version__
    from ultralytics.nn import modules
except ImportError:
    sys.exit("ultralytics is not installed: pip install ultralytics")

LIMITS = Limits(min_channels=16, multiple=16)  # ONNX Runtime computes in blocks of 16 channels
CHOSEN, GONE = 0.3, 0.9  # of the run that fades: when the channels that go are chosen, and when they are at zero


class Layers(nn.Module):
    """The layers of a network of that package, with what its head computes from its maps as outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.model, self.training = network.model, network.training

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map images [B, 3, H, W] to the maps behind every branch of the head."""
        seen: list[torch.Tensor] = []
        *layers, head = self.model
        for layer in layers:
            seen.append(layer(read(layer.f, seen or [x])))
        maps, given = read(head.f, seen), []
        for name, branch in head.named_children():
            if isinstance(branch, nn.ModuleList):  # one part a map
                given += [part(one) for part, one in zip(branch, maps, strict=True)]
            elif name == "proto":  # the masks of a segmenter
                given.append(branch(maps[0]))
        return given


def read(source: int | list[int], seen: list[Any]) -> Any:
    """Return what a layer reads: the map of a layer, -1 for the one before it, or those of several."""
    return [seen[one] for one in source] if isinstance(source, list) else seen[source]


class Unrolled:
    """The layers of a network whose blocks are taken apart: a yaml can state a width for each, not so inside a block.

    The two halves that C2f and C3k2 split their first convolution into are convolutions of their own.
    """

    def __init__(self, network: nn.Module) -> None:
        self.layers: list[nn.Module] = []
        places: list[Any] = []  # of each layer of the network: the last of those that it became
        layers = deepcopy(network.model)
        whole = [layer for layer in layers if type(layer) is modules.C3k2][-1:]  # tells the package which head follows
        apart: dict[Any, Any] = {modules.C2f: self.c2f, modules.C3k2: self.c2f, modules.SPPF: self.sppf}
        for layer in layers:
            append = self.add if layer in whole else apart.get(type(layer), self.add)
            places.append(append(read(layer.f, places or [-1]), layer))

    def add(self, source: Any, layer: nn.Module) -> int:
        """Append a layer as it is; return its index."""
        layer.f = source
        self.layers.append(layer)
        return len(self.layers) - 1

    def joined(self, sources: list[int], conv: nn.Module) -> int:
        """Append a concat of the maps of some layers, and the convolution that reads it."""
        return self.add(self.add(sources, modules.Concat(1)), conv)

    def c2f(self, source: int, block: nn.Module) -> int:
        """Append the layers of a C2f or C3k2."""
        half = block.cv1.conv.out_channels // 2
        parts = [self.add(source, part_of(block.cv1, outputs)) for outputs in (slice(half), slice(half, None))]
        for one in block.m:
            parts.append((self.c3k if isinstance(one, modules.C3) else self.add)(parts[-1], one))
        return self.joined(parts, block.cv2)

    def c3k(self, source: int, block: nn.Module) -> int:
        """Append the layers of a C3k."""
        last = self.add(source, block.cv1)
        for one in block.m:
            last = self.add(last, one)
        return self.joined([last, self.add(source, block.cv2)], block.cv3)

    def sppf(self, source: int, block: nn.Module) -> int:
        """Append the layers of an SPPF; one with a shortcut stays as it is."""
        if getattr(block, "add", False):
            return self.add(source, block)
        parts = [self.add(source, block.cv1)]
        for _ in range(getattr(block, "n", 3)):
            parts.append(self.add(parts[-1], deepcopy(block.m)))
        return self.joined(parts, block.cv2)


def part_of(conv: nn.Module, outputs: slice) -> nn.Module:
    """Return a copy of a convolution and its batch norm that gives some of the outputs."""
    part = deepcopy(conv)
    for tensor in (part.conv.weight, part.bn.weight, part.bn.bias, part.bn.running_mean, part.bn.running_var):
        tensor.data = tensor.data[outputs].clone()
    part.conv.out_channels = part.bn.num_features = len(part.bn.weight)
    return part


def row(layer: nn.Module) -> list[Any]:
    """Return what a yaml says of a layer: [count, module, arguments]. Raises InputError for one that is not known."""
    name, last = type(layer).__name__, getattr(getattr(layer, "cv2", None), "conv", None)
    given = last.out_channels if last else 0
    match name:
        case "Conv" if layer.conv.groups == 1:
            unactivated = [None, 1, 1, False] if isinstance(layer.act, nn.Identity) else []
            return [1, name, [layer.conv.out_channels, layer.conv.kernel_size[0], layer.conv.stride[0], *unactivated]]
        case "Bottleneck":
            kernels = [conv.conv.kernel_size[0] for conv in (layer.cv1, layer.cv2)]
            return [1, name, [given, layer.add, 1, kernels, (layer.cv1.conv.out_channels + 0.5) / given]]  # rounds down
        case "C3k2":
            inner, first = (layer.cv1.conv.out_channels // 2 + 0.5) / given, layer.m[0]
            return [len(layer.m), name, [given, isinstance(first, modules.C3), inner, isinstance(first, nn.Sequential)]]
        case "C2PSA":
            return [len(layer.m), name, [given]]
        case "SPPF":
            return [1, name, [given, layer.m.kernel_size, layer.n, layer.add]]
        case "MaxPool2d":
            return [1, "nn.MaxPool2d", [layer.kernel_size, layer.stride, layer.padding]]
        case "Upsample":
            return [1, "nn.Upsample", [None, layer.scale_factor, layer.mode]]
        case "Concat":
            return [1, name, [layer.d]]
        case "Detect" | "Segment":
            return [1, name, ["nc", *([layer.nm, layer.npr] if name == "Segment" else [])]]
    raise InputError(f"{name}: not a layer of YOLOv8, YOLO11 or YOLO26, detect or segment")


def build(like: nn.Module, layers: Sequence[nn.Module]) -> nn.Module:
    """Return a network of that package with the layers' weights, made from a yaml that states the width of each.

    Its trainer makes the same one from the checkpoint. Raises InputError when the package builds another.
    """
    rows = [[layer.f, *row(layer)] for layer in layers]
    yaml = {key: like.yaml[key] for key in ("reg_max", "end2end", "activation", "inplace") if key in like.yaml}
    yaml |= {"nc": like.model[-1].nc, "backbone": rows[:1], "head": rows[1:]}
    source = deepcopy(like)
    source.model = nn.Sequential(*layers)
    network = type(like)(yaml, ch=like.yaml.get("channels", 3), verbose=False)
    network.load(source, verbose=False)  # makes the branches for the classes as wide as those of the source
    try:
        network.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise InputError(f"this release of ultralytics builds other widths: {one_line(str(error))}") from error
    network.names = like.names
    return network.eval()


def narrowed(network: nn.Module, graph: ChannelGraph, keep: Masks) -> nn.Module:
    """Return an unrolled network without the channels that Masks leave out."""
    image = torch.rand(1, network.yaml.get("channels", 3), 64, 64)
    return build(network, cut(Layers(network), graph, keep, image).model)


def traced(network: nn.Module) -> ChannelGraph:
    """Return the channels of an unrolled network; those whose number a yaml cannot state are protected."""
    first, (*layers, head) = next(network.parameters()), network.model
    graph = channels(Layers(network), torch.zeros(1, first.shape[1], 64, 64, device=first.device))
    follow = ("cv2", "one2one_cv2", "cv4", "one2one_cv4")  # branches whose width follows from what the head reads
    widths = {name: getattr(head, name)[0][0].conv.out_channels for name in follow if hasattr(head, name)}
    patterns = [f"model.{len(layers)}.{name}" for name in (*widths, *["proto"] * hasattr(head, "proto"))]
    if widths["cv2"] > max(16, 4 * head.reg_max) or widths.get("cv4", 0) > getattr(head, "nm", 0):
        patterns.append(f"model.{head.f[0]}")  # a quarter of its width is that of a branch
    for number, layer in enumerate(layers):
        if isinstance(layer, (modules.C2PSA, modules.SPPF)):
            patterns += [f"model.{number}", f"model.{number - 1 if layer.f == -1 else layer.f}"]
        elif type(layer) is modules.C3k2:
            patterns += [f"model.{number}.cv1", f"model.{number}.m"]
    graph.protect(patterns, "a yaml of that package cannot state the widths of")
    return graph


def chosen(network: nn.Module, graph: ChannelGraph, scores: dict[str, np.ndarray], flops: float) -> Masks:
    """Return the Masks that take away a share of the FLOPs of an unrolled network by scores {group: [width]}."""
    keep = select(Layers(network), graph, scores, flops, LIMITS)
    for last in (f"model.{len(network.model) - 1}.{branch}.0.2" for branch in ("cv3", "one2one_cv3")):
        labels = graph.layers[last].inputs if last in graph.layers else np.empty(0)
        for name in (group.name for group in graph.free_groups if np.isin(group.labels, labels).any()):
            if keep[name].sum() % 8 == 0:  # a branch as wide as one of a yaml may be is not built as the weights' is
                keep[name][np.argsort(np.where(keep[name], scores[name], np.inf))[:4]] = False
    return keep


class Fade(FadeOut):
    """The fade of --sr auto in that package's trainer: channels are chosen once, and at zero before they are cut."""

    def begin(self, trainer: Any) -> None:
        """Follow the steps of the optimizer; a callback of on_train_start."""
        self.network, self.graph = trainer.model, traced(trainer.model)
        self.groups = [group for group in self.graph.free_groups if group.norms]
        self.parameters = ChannelParameters(Layers(self.network), self.graph, self.groups)  # type: ignore[arg-type]
        self.scores = torch.ones(self.parameters.count, device=self.parameters.index.device)
        steps = max(trainer.epochs * len(trainer.train_loader) // trainer.accumulate, 1)
        self.run: Any = SimpleNamespace(step=0, total_steps=steps, ema=SimpleNamespace(model=Layers(trainer.ema.ema)))
        trainer.optimizer.register_step_pre_hook(lambda *_: self.before_step(self.run))
        trainer.optimizer.register_step_post_hook(lambda *_: self.after_step(self.run))

    def after_step(self, run: Any) -> None:
        """Count a step, and shrink the chosen channels."""
        run.step += 1
        super().after_step(run)

    def choose(self) -> None:
        """Decide by the scores which channels are to go."""
        self.masks = chosen(self.network, self.graph, self.parameters.by_group(self.scores), 1 - self.goal.left)
        self.keep = self.parameters.from_groups(self.masks)


def faded(file: Path, flops: float, settings: dict[str, Any]) -> tuple[nn.Module, ChannelGraph, Masks]:
    """Train an unrolled checkpoint while channels fade; return what is to be cut: network, channels and Masks."""
    model, fade = YOLO(file), Fade(Goal("FLOPs", 1 - flops), LIMITS, CHOSEN, GONE)
    model.add_callback("on_train_start", fade.begin)
    model.train(patience=settings["epochs"], **settings)
    if fade.faded(fade.run) < 1:
        raise InputError(f"--fade {settings['epochs']}: too few steps of the optimizer, give it more epochs")
    return YOLO(model.trainer.last).model.float(), fade.graph, fade.masks  # the best may be from before the fade


def save(network: nn.Module, file: Path) -> None:
    """Write a checkpoint as that package does."""
    plain, task = deepcopy(network).half().requires_grad_(False), type(network.model[-1]).__name__.lower()
    torch.save({"model": plain, "train_args": {"task": task}, "version": __version__}, file)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint of that package")
    parser.add_argument("--flops", type=float, default=0.4, help="share of the FLOPs that goes")
    parser.add_argument("--out", type=Path, help="file to write; default: the name of --weights with _pruned")
    parser.add_argument("--data", help="data to train on with; without it the network is only cut")
    parser.add_argument("--fade", type=int, default=30, help="epochs before the cut in which the channels fade, or 0")
    parser.add_argument("--epochs", type=int, default=50, help="epochs after the cut, or 0")
    parser.add_argument("--imgsz", type=int, default=640)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Fade, cut, train on, write."""
    options = parse(words)
    out = options.out or options.weights.with_name(f"{options.weights.stem}_pruned.pt")
    settings = {"data": options.data, "imgsz": options.imgsz}
    try:
        whole = YOLO(options.weights).model.float()
        graph = traced(network := build(whole, Unrolled(whole).layers))
        keep = chosen(network, graph, score(Layers(network), graph), options.flops)  # even if others fade: it can
        if options.data and options.fade:
            save(network, out)
            network, graph, keep = faded(out, options.flops, settings | {"epochs": options.fade})
        narrow = narrowed(network, graph, keep)
    except (InputError, FileNotFoundError) as error:
        print(f"{options.weights}: {error}", file=sys.stderr)
        return 2
    save(narrow, out)
    if options.data and options.epochs:
        model = YOLO(out)
        model.train(**settings | {"epochs": options.epochs})
        shutil.copyfile(model.trainer.best, out)
    cost = NetworkCost.traced_flops(graph, Layers(network), 1)
    print(f"{out}: {1 - cost.of(keep) / cost.total:.1%} of the FLOPs are gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
