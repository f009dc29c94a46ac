"""How much accuracy each channel group, and each depth of cut, costs before any fine-tuning, on a few images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from models.cost import count_gflops
from models.yolo import DetectionModel
from utils.benchmark.latency import measure_latency
from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.data.splits import load_split
from utils.progress import track
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.channels.rebuild import masked
from utils.pruning.pipeline import PruningTask
from utils.validation.measure import PAD, check_classes, evaluated_names, measure

SHARES = (0.25, 0.5, 0.75)
IMAGES = 32
DEPTHS = (0.9, 0.75, 0.6, 0.45, 0.3)  # shares of the FLOPs that stay


@dataclass(frozen=True)
class Curve:
    """Accuracy with the weakest channels of one group silenced and all other groups whole."""

    group: str
    width: int  # channels of the group
    shares: tuple[float, ...]  # of the group's channels silenced; the numbers are rounded, and one channel stays
    map50: tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """Accuracy and speed of one network."""

    name: str
    gflops: float
    ms: float  # an image, PyTorch on the CPU
    map50: float


class FewImages:
    """Measures the mAP50 of networks on the same few images, spread evenly over a split and read once."""

    def __init__(
        self,
        model: DetectionModel,
        config: Any,
        split: str,
        imgsz: int,
        device: torch.device,
        images: int = IMAGES,
        batch_size: int = 16,
    ) -> None:
        """Load the images to measure on.

        Args:
            model: DetectionModel that fixes classes and size multiple.
            config, split: DataConfig, and which of its splits.
            imgsz: longest side in pixels.
            images: how many; all when the split has fewer.

        Raises InputError when the classes differ or the split cannot be read.
        """
        check_classes(model, config)
        samples, _ = load_split(config, split)
        chosen = np.linspace(0, len(samples) - 1, min(images, len(samples))).round().astype(int)
        dataset = DetectionDataset(
            [samples[i] for i in chosen], imgsz, rect=True, batch_size=batch_size, stride=model.size_multiple, pad=PAD
        )
        self.batches = list(make_loader(dataset, batch_size))
        self.images, self.names, self.device = len(chosen), evaluated_names(config, False), device

    def __call__(self, model: DetectionModel) -> float:
        """Return the mAP50 of a DetectionModel, left as it is."""
        return measure(model, self.batches, names=self.names, device=self.device, progress=False).map50


def weakest_masked(scores: np.ndarray, share: float) -> np.ndarray:
    """Return the mask [width] (True: stays) that silences the smallest scores of one group; one channel stays."""
    gone = min(round(share * len(scores)), len(scores) - 1)
    mask = np.ones(len(scores), dtype=bool)
    mask[np.argsort(scores, kind="stable")[:gone]] = False
    return mask


def sensitivity(
    model: DetectionModel,
    graph: ChannelGraph,
    scores: Mapping[str, np.ndarray],
    accuracy: Callable[..., float],
    shares: Sequence[float] = SHARES,
) -> list[Curve]:
    """Return the Curve of every scored group, in the order of the network.

    Args:
        model: DetectionModel, left as it is; graph: its ChannelGraph.
        scores: {group: [width] what is lost with a channel}.
        accuracy: callable model → mAP50, such as FewImages.
    """
    curves = []
    scored = [group for group in graph.free_groups if group.name in scores]
    for group in track(scored, "--sensitivity", unit="groups"):
        masks = [weakest_masked(scores[group.name], share) for share in shares]
        values = [accuracy(masked(model, graph, {group.name: mask})) for mask in masks]
        curves.append(Curve(group.name, group.width, tuple(shares), tuple(values)))
    return curves


def trade_off(
    networks: Mapping[str, DetectionModel],
    accuracy: Callable[..., float],
    imgsz: int,
    rounds: int = 10,
    latency: Callable[..., Any] = measure_latency,
) -> list[Point]:
    """Return the Points of networks {name: DetectionModel} at an image size in pixels; times are measured in turns."""
    times = latency(networks, imgsz, rounds=rounds)
    return [Point(name, count_gflops(model, imgsz), times[name], accuracy(model)) for name, model in networks.items()]


def by_sensitivity(curves: Sequence[Curve]) -> list[Curve]:
    """Return curves with the lowest mean mAP50 first."""
    return sorted(curves, key=lambda curve: np.mean(curve.map50))


def describe_sensitivity(curves: Sequence[Curve], before: float, shown: int = 3) -> str:
    """Return in words which groups cost most and least; before: mAP50 of the whole network."""
    ranked = by_sensitivity(curves)
    middle = len(SHARES) // 2

    def words(some):
        """Return the names of some groups, each with its mAP50."""
        return ", ".join(f"{c.group} ({c.map50[middle]:.3f})" for c in some)

    head = f"mAP50 with {SHARES[middle]:.0%} of one group's channels silent, against {before:.3f}"
    return f"{head}: least {words(ranked[:shown])}; most {words(ranked[::-1][:shown])}"


def explore(task: PruningTask, split: str, scores: Mapping, deeper: Mapping) -> dict:
    """Return what --sensitivity finds, for the report: {sensitivity, trade_off}; prints one line.

    Args:
        task: with a config; split: which of its images.
        scores: {group: [width] what is lost with a channel}.
        deeper: {name: DetectionModel} of cuts of several depths.
    """
    few = FewImages(task.model, task.config, split, task.image_size, task.device)
    before = few(task.model)
    curves = sensitivity(task.model, task.graph, scores, few)
    print(describe_sensitivity(curves, before))
    points = trade_off({"100%": task.model, **deeper}, few, task.image_size)
    return {
        "sensitivity": {
            "images": few.images,
            "before": before,
            "curves": [asdict(curve) for curve in by_sensitivity(curves)],
        },
        "trade_off": {"images": few.images, "points": [asdict(point) for point in points]},
    }
