"""What a cut did, as plain numbers and text: the content of report.json, and all that report.html shows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from models.yolo import Detect
from utils.benchmark.latency import CONDITIONS, FASTER
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.channels.rebuild import removed_labels
from utils.pruning.report.tables import Totals
from utils.pruning.structure.branches import channels_of

BINS = 24  # of a gamma histogram
LOSS = 0.01  # of mAP50-95, up to which the accuracy counts as kept
MOSTLY = 0.9


def file_parts(model: nn.Module, size: int) -> dict[str, int]:
    """Return {part: bytes} of the checkpoint of a stored (FP16) model whose file has `size` bytes."""
    parts = {"convolutions": 0, "batch norms": 0, "predictions": 0}
    inside = {id(m) for detect in model.modules() if isinstance(detect, Detect) for m in detect.modules()}
    for module in model.modules():
        name = "batch norms" if isinstance(module, nn.BatchNorm2d) else "convolutions"
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        parts["predictions" if id(module) in inside else name] += sum(t.numel() * t.element_size() for t in tensors)
    return {**parts, "structure": size - sum(parts.values())}


def layer_rows(graph: ChannelGraph, before: nn.Module, after: nn.Module) -> list[dict[str, Any]]:
    """Return [{layer, before, after, kept, protected}] of every convolution of a ChannelGraph."""
    protected = {name: group.protected for group in graph.groups for name in group.members}
    rows = []
    for name in (layer.name for layer in graph.layers.values() if layer.is_conv):
        old, new = (channels_of(model, name) for model in (before, after))
        rows.append({"layer": name, "before": old, "after": new, "kept": new / old, "protected": protected.get(name)})
    return rows


def gamma_histograms(graph: ChannelGraph, model: nn.Module, keep: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return [{layer, high, kept, removed}] of every batch norm: counts of |gamma| in BINS bins from 0 to `high`.

    keep: {group: bool [channels], True: stays}.
    """
    gone = removed_labels(graph, keep)
    rows = []
    for layer in (layer for layer in graph.layers.values() if layer.is_norm):
        gamma = model.get_parameter(f"{layer.name}.weight").detach().abs().float().cpu().numpy()
        removed = np.isin(layer.outputs, gone)
        high = float(gamma.max()) or 1.0
        counts = [np.histogram(gamma[mask], BINS, (0, high))[0].tolist() for mask in (~removed, removed)]
        rows.append({"layer": layer.name, "high": high, "kept": counts[0], "removed": counts[1]})
    return rows


class Verdict(NamedTuple):
    """What a cut brought: whether it made the network faster and kept its accuracy, None: not measured; in words."""

    faster: bool | None
    accurate: bool | None
    sentence: str


def verdict(before: Mapping[str, Any], after: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> Verdict:
    """Return what a cut brought and, if it brought no speed, why.

    Args:
        before, after: mappings with gflops, ms and map50_95 (None: not measured).
        layers: see layer_rows.
    """
    faster, time = compare_times(before, after, layers)
    accurate, accuracy = compare_accuracy(before["map50_95"], after["map50_95"])
    return Verdict(faster, accurate, f"{time}; {accuracy}")


def compare_times(
    before: Mapping[str, Any], after: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]
) -> tuple[bool | None, str]:
    """Return whether the second network is faster, None: not measured, and a sentence. Arguments as of verdict."""
    left = after["gflops"] / before["gflops"]
    if before["ms"] is None or after["ms"] is None:
        return None, f"{left:.0%} of the FLOPs are left; the time was not measured"
    ratio = before["ms"] / after["ms"]
    times = f"{before['ms']:.1f} → {after['ms']:.1f} ms an image"
    if ratio >= FASTER:
        return True, f"{ratio:.2f}× as fast: {times} at {left:.0%} of the FLOPs"
    return False, f"NOT FASTER: {times}, because {reason(left, layers)}"


def compare_accuracy(before: float | None, after: float | None) -> tuple[bool | None, str]:
    """Return whether a mAP50-95 was kept, None: not measured or nothing was found before; and words that say so."""
    if before is None or after is None:
        return None, "mAP was not measured"
    values = f"{before:.3f} → {after:.3f}"
    if not before:
        return None, f"mAP50-95 {values}: the network found nothing before the cut"
    kept = before - after <= LOSS
    return kept, f"mAP50-95 {values}" if kept else f"mAP50-95 FELL: {values}"


def reason(left: float, layers: Sequence[Mapping[str, Any]]) -> str:
    """Return in words why a cut that leaves this share of the FLOPs brought no speed."""
    odd = [row for row in layers if row["after"] % 8 and row["after"] != row["before"]]
    if left > MOSTLY:
        return (
            f"{left:.0%} of the FLOPs are left: the channels that went cost little. Ask for FLOPs, such as --flops 0.5"
        )
    if len(odd) > len(layers) / 4:
        return f"{len(odd)} of {len(layers)} layers have widths that are no multiples of 8. Leave --round at 8"
    return (
        f"moving maps and starting layers takes longer than computing here, though only {left:.0%} of the FLOPs are "
        "left. At a larger --imgsz the cut counts more"
    )


def network_numbers(row: Totals, parts: Mapping[str, int]) -> dict[str, Any]:
    """Return the mapping for one network from its Totals and the parts of its file."""
    return {
        "name": row.name,
        "parameters": row.parameters,
        "gflops": row.gflops,
        "ms": row.ms,
        "map50": row.map50,
        "map50_95": row.map,
        "file": {"bytes": row.bytes, "parts": parts},
    }


def collect(cut: Any, networks: Sequence[Mapping[str, Any]], **settings: Any) -> dict[str, Any]:
    """Return the findings of a Cut: a mapping of plain values, ready for json.

    Args:
        cut: utils.pruning.prune.Cut: graph, before, after and keep.
        networks: mappings of network_numbers, before and after.
        settings: weights, out, data, imgsz, command, notes, sensitivity, trade_off and what else is to be kept.
    """
    layers = layer_rows(cut.graph, cut.before, cut.after)
    found = verdict(networks[0], networks[-1], layers)
    return {
        "verdict": found.sentence,
        "faster": found.faster,
        "accurate": found.accurate,
        "runtime": CONDITIONS,
        **settings,
        "networks": networks,
        "layers": layers,
        "gammas": gamma_histograms(cut.graph, cut.before, cut.keep),
    }
