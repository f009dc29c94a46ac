"""Cut torchvision's networks at 30 % of the channels of every group, and compare them with the masked networks.

    python benchmarks/engine.py [name ...]

With torch-pruning installed (pip install torch-pruning), what it takes away at the same ratio stands beside, by its own
count of operations. It rounds up layer by layer, so the last column takes as many channels of every layer as it did,
and of convolutions in groups the same places, as it does; counted by it too.
"""

import argparse
import math
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn
from torchvision import models

sys.path.insert(0, str(Path(__file__).parent.parent))

from utils.pruning.choice.costs import NetworkCost
from yolov5_slim.networks import ChannelGraph, channels, cut

try:
    import torch_pruning
except ImportError:
    torch_pruning = None

SHARE = 0.3
PATIENCE = 60  # processor seconds that torch-pruning gets for a network
PREDICTIONS = "its outputs are the predictions"
NAMES = (
    *("alexnet", "vgg11_bn", "resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d", "squeezenet1_1"),
    *("densenet121", "inception_v3", "googlenet", "shufflenet_v2_x1_0", "mobilenet_v2", "mobilenet_v3_large"),
    *("mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny"),
    *("vit_b_16", "swin_t", "swin_v2_t", "maxvit_t"),
    *("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"),
    *("fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn", "maskrcnn_resnet50_fpn"),
    *("keypointrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssd300_vgg16"),
    "ssdlite320_mobilenet_v3_large",
)
SIDES = {"inception_v3": 128, "alexnet": 96, "vit_b_16": 224, "maxvit_t": 224, "ssd300_vgg16": 300}


class BoxMaps(nn.Module):
    """The part of a box detector of torchvision that torch.fx follows: backbone and dense heads, up to their maps.

    Detectors in two stages read the maps of the backbone a second time, so these belong to the outputs.
    """

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.two_stages = hasattr(detector, "rpn")
        self.backbone = detector.backbone
        self.head = detector.rpn.head if self.two_stages else detector.head

    def forward(self, images: torch.Tensor) -> Any:
        """Return the heads' maps for images [B, 3, H, W]."""
        features = list(self.backbone(images).values())
        return (self.head(features), features) if self.two_stages else self.head(features)


def build(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Return a network of torchvision with random weights and statistics, and an image batch for it."""
    torch.manual_seed(0)
    dense = next((part for part in (models.segmentation, models.detection) if hasattr(part, name)), None)
    family = getattr(dense or models, name)
    model = family(weights=None, **({"weights_backbone": None} if dense else {})).eval()
    model = BoxMaps(model) if dense is models.detection else model
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3)):
                nn.init.uniform_(tensor, low, high)
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight)  # a head of zeros would agree with anything
    side = SIDES.get(name, 128 if dense is models.detection else 64)
    return model.eval(), torch.rand(1, 3, side, side)


def take(graph: ChannelGraph, count: Callable[[Any], int]) -> dict[str, np.ndarray]:
    """Return masks that take count(group) random channels of every free group, and leave one at least."""
    rng = np.random.default_rng(0)
    keep = {}
    for group in graph.free_groups:
        keep[group.name] = np.ones(group.width, dtype=bool)
        keep[group.name][rng.permutation(group.width)[: min(count(group), group.width - 1)]] = False
    return keep


def ours(model: nn.Module, image: torch.Tensor) -> str:
    """Return what goes of the FLOPs, checked, and the time of the tracing, as cells of the table."""
    start = time.thread_time()
    graph = channels(model, image)
    took = time.thread_time() - start
    keep = take(graph, lambda group: math.ceil(SHARE * group.width))
    cut(model, graph, keep, image)
    cost = NetworkCost.traced_flops(graph, model, image.shape[-2:].numel())
    protected = len(graph.groups) - len(graph.free_groups)
    return f"{1 - cost.of(keep) / cost.total:8.1%} {protected:9} {took:8.1f} s"


def theirs(model: nn.Module, image: torch.Tensor) -> str:
    """Return what torch-pruning takes away, or why it stopped, and what is taken here of as many channels."""
    if torch_pruning is None:
        return ""
    pruned = deepcopy(model)
    graph = channels(model, image, whole_groups=False)
    heads = {name for group in graph.groups if group.protected == PREDICTIONS for name in group.members}
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        before, _ = torch_pruning.utils.count_ops_and_params(pruned, image)
        importance = torch_pruning.importance.MagnitudeImportance()
        ignored = [pruned.get_submodule(name) for name in heads]
        pruner: Any = torch_pruning.pruner.MagnitudePruner(
            pruned, image, importance, pruning_ratio=SHARE, ignored_layers=ignored
        )
        pruner.step()
        after, _ = torch_pruning.utils.count_ops_and_params(pruned, image)
    except Exception as error:  # whatever it raises is the result
        return type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    narrow = cut(model, graph, take(graph, lambda group: as_many(graph, group, pruned)), image)
    left, _ = torch_pruning.utils.count_ops_and_params(narrow, image)
    return f"{1 - after / before:8.1%} {1 - left / before:8.1%}"


def as_many(graph: ChannelGraph, group: Any, pruned: nn.Module) -> int:
    """Return how many channels of a group have to go for as many outputs as a network lost that was pruned before."""
    own = [name for name in group.members if not graph.layers[name].depthwise]
    outputs = sum(len(graph.layers[name].outputs) for name in own)
    left = sum(pruned.get_submodule(name).get_parameter("weight").shape[0] for name in own)
    return math.ceil((1 - left / outputs) * group.width - 1e-9)


def too_long(*_: object) -> NoReturn:
    """Raise TimeoutError, as a handler of signals."""
    raise TimeoutError


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    signal.signal(signal.SIGPROF, too_long)
    parser.add_argument("names", nargs="*", default=NAMES)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"{'network':<37} {'FLOPs off':>9} {'protected':>8} {'tracing':>10}  torch-pruning, as many here")
    wrong = 0
    for name in parser.parse_args(arguments).names:
        model, image = build(name)
        try:
            cells = ours(model, image)
        except Exception as error:  # a wrong output and a crash are what this looks for
            cells, wrong = f"{type(error).__name__}: {str(error)[:80]}", wrong + 1
        print(f"{name:<37} {cells}  {theirs(model, image)}", flush=True)
    print(f"{wrong} wrong or stopped")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
