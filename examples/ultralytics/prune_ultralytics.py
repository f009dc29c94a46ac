"""Prune a YOLOv8 or YOLO11 detector or segmenter with the ultralytics package, and train it on there.

    pip install ultralytics
    python examples/ultralytics/prune_ultralytics.py --weights yolov8n.pt --flops 0.4 --data coco128.yaml --epochs 50

Writes yolov8n_pruned.pt, which YOLO("yolov8n_pruned.pt") loads, validates and exports without this project.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("YOLO_OFFLINE", "true")  # the package asks the network for versions otherwise
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

import torch
from torch import nn

from utils.errors import InputError
from yolov5_slim.networks import channels, cut, score, select

try:
    import ultralytics
    from ultralytics import YOLO
except ImportError:
    sys.exit("ultralytics is not installed: pip install ultralytics")


class Layers(nn.Module):
    """The layers of a network of that package, with what its head computes from its maps as outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.model = network.model

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map images [B, 3, H, W] to the maps behind every branch of the head."""
        seen: list[torch.Tensor] = []
        *layers, head = self.model
        for layer in layers:
            x = layer(read(layer.f, x, seen))
            seen.append(x)
        maps = read(head.f, x, seen)
        given = []
        for name, branch in head.named_children():
            if isinstance(branch, nn.ModuleList):  # one part a map
                given += [part(one) for part, one in zip(branch, maps, strict=True)]
            elif name == "proto":  # the masks of a segmenter
                given.append(branch(maps[0]))
        return given


def read(source: int | list[int], x: torch.Tensor, seen: list[torch.Tensor]) -> Any:
    """Return what a layer reads: the map before it (-1), or those of other layers."""
    if isinstance(source, list):
        return [read(one, x, seen) for one in source]
    return x if source == -1 else seen[source]


def narrower(network: nn.Module, flops: float) -> nn.Module:
    """Return a copy of a network of that package without the channels that cost the most for what they give."""
    layers, image = Layers(network.float()).eval(), torch.rand(1, 3, 64, 64)
    graph = channels(layers, image)
    narrow = deepcopy(network)
    narrow.model = cut(layers, graph, select(layers, graph, score(layers, graph), flops), image).model
    for block in narrow.modules():
        if hasattr(block, "forward_split"):  # the form for export, which splits at a number that is kept here
            block.c = block.cv1.conv.out_channels // 2
    return narrow


def save(network: nn.Module, file: Path) -> None:
    """Write a checkpoint as that package does."""
    plain = deepcopy(network).half()
    for parameter in plain.parameters():
        parameter.requires_grad = False
    content = {"model": plain, "ema": None, "train_args": {}, "date": datetime.now().isoformat()}
    torch.save(content | {"version": ultralytics.__version__}, file)


def tune(file: Path, arguments: dict[str, Any]) -> nn.Module:
    """Train a pruned checkpoint with that package's trainer, which would build the whole network anew; return it."""
    model = YOLO(file)
    kept = deepcopy(model.model).float()

    class Trainer(model._smart_load("trainer")):  # type: ignore[misc]
        """That package's trainer of the narrower network."""

        def get_model(self, *_: Any, **__: Any) -> nn.Module:
            """Return the network as it was cut."""
            return self.set_model_names_for_load(deepcopy(kept)) if hasattr(self, "set_model_names_for_load") else kept

    for parameter in kept.parameters():
        parameter.requires_grad = True
    model.train(trainer=Trainer, **arguments)
    return model.model


def main(words: Sequence[str] | None = None) -> int:
    """Cut, train on if asked to, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint of that package")
    parser.add_argument("--flops", type=float, default=0.4, help="share of the FLOPs that goes")
    parser.add_argument("--out", type=Path, help="file to write; default: the name of --weights with _pruned")
    parser.add_argument("--data", help="data to train on with; without it the network is only cut")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--device", default="cpu" if not torch.cuda.is_available() else "0")
    options = parser.parse_args(words)
    out = options.out or options.weights.with_name(f"{options.weights.stem}_pruned.pt")
    try:
        network = YOLO(options.weights).model
        narrow = narrower(network, options.flops)
    except InputError as error:
        print(f"{options.weights}: {error}", file=sys.stderr)
        return 2
    save(narrow, out)
    if options.data:
        settings = {"data": options.data, "epochs": options.epochs, "imgsz": options.imgsz, "device": options.device}
        save(tune(out, settings), out)
    before, after = (sum(p.numel() for p in one.parameters()) for one in (network, narrow))
    print(f"{out}: {after / before:.0%} of the parameters are left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
