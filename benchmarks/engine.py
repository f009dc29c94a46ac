"""Cut torchvision's networks at 30 % of the channels of every group, and compare them with the masked networks.

    python benchmarks/engine.py [name ...]

With torch-pruning installed (pip install torch-pruning), what it takes away at the same ratio stands beside.
"""

import argparse
import math
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn
from torchvision import models

sys.path.insert(0, str(Path(__file__).parent.parent))

from utils.pruning.choice.costs import NetworkCost
from yolov5_slim.networks import channels, cut

try:
    import torch_pruning
except ImportError:
    torch_pruning = None

SHARE = 0.3
PATIENCE = 60  # seconds that torch-pruning gets for a network
NAMES = (
    *("alexnet", "vgg11_bn", "resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d", "squeezenet1_1"),
    *("densenet121", "inception_v3", "googlenet", "shufflenet_v2_x1_0", "mobilenet_v2", "mobilenet_v3_large"),
    *("mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny"),
    *("vit_b_16", "swin_t", "swin_v2_t", "maxvit_t"),
    *("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"),
)
SIDES = {"inception_v3": 128, "alexnet": 96, "vit_b_16": 224, "maxvit_t": 224}


def build(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Return a network of torchvision with random weights and statistics, and an image batch for it."""
    torch.manual_seed(0)
    family = getattr(models, name, None) or getattr(models.segmentation, name)
    model = family(weights=None, **({"weights_backbone": None} if hasattr(models.segmentation, name) else {})).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3)):
                nn.init.uniform_(tensor, low, high)
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight)  # a head of zeros would agree with anything
    side = SIDES.get(name, 64)
    return model, torch.rand(1, 3, side, side)


def ours(model: nn.Module, image: torch.Tensor) -> str:
    """Return what goes of the FLOPs, checked, and the time of the tracing, as cells of the table."""
    start = time.perf_counter()
    graph = channels(model, image)
    took = time.perf_counter() - start
    rng = np.random.default_rng(0)
    keep = {}
    for group in graph.free_groups:
        keep[group.name] = np.ones(group.width, dtype=bool)
        keep[group.name][rng.permutation(group.width)[: min(math.ceil(SHARE * group.width), group.width - 1)]] = False
    cut(model, graph, keep, image)
    cost = NetworkCost.traced_flops(graph, model, image.shape[-2:].numel())
    protected = len(graph.groups) - len(graph.free_groups)
    return f"{1 - cost.of(keep) / cost.total:8.1%} {protected:9} {took:8.1f} s"


def theirs(model: nn.Module, image: torch.Tensor) -> str:
    """Return what torch-pruning takes away of its own count of operations, or why it stopped."""
    if torch_pruning is None:
        return ""
    model = deepcopy(model)
    last = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    signal.alarm(PATIENCE)
    try:
        before, _ = torch_pruning.utils.count_ops_and_params(model, image)
        pruner: Any = torch_pruning.pruner.MagnitudePruner(
            model, image, torch_pruning.importance.MagnitudeImportance(), pruning_ratio=SHARE, ignored_layers=[last]
        )
        pruner.step()
        after, _ = torch_pruning.utils.count_ops_and_params(model, image)
    except Exception as error:  # whatever it raises is the result
        return type(error).__name__
    finally:
        signal.alarm(0)
    return f"{1 - after / before:.1%}"


def too_long(*_: object) -> NoReturn:
    """Raise TimeoutError, as a handler of signals."""
    raise TimeoutError


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    signal.signal(signal.SIGALRM, too_long)
    parser.add_argument("names", nargs="*", default=NAMES)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"{'network':<30} {'FLOPs off':>9} {'protected':>8} {'tracing':>10}  torch-pruning")
    wrong = 0
    for name in parser.parse_args(arguments).names:
        model, image = build(name)
        try:
            cells = ours(model, image)
        except Exception as error:  # a wrong output and a crash are what this looks for
            cells, wrong = f"{type(error).__name__}: {str(error)[:80]}", wrong + 1
        print(f"{name:<30} {cells}  {theirs(model, image)}", flush=True)
    print(f"{wrong} wrong or stopped")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
