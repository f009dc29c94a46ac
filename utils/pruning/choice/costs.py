"""What channels cost: FLOPs, parameters, milliseconds or counts of the network that masks leave, without building it.

A cost has `name` (what is counted), `total` (of the whole network), `block` (widths are paid for in whole blocks of so
many channels), `of(keep)`, and `ledger()`, which follows a cut block by block: `left`, `gain(group, channels)` and
`remove(group, channels)`. Selection knows nothing else of it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models.cost import count_gflops, count_parameters
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.channels.labels import Layer


class ChannelCost:
    """A fixed cost of every channel, whatever else goes: with the convolution outputs that it stands for."""

    block = 1

    def __init__(self, costs: Mapping[str, np.ndarray], name: str = "channels") -> None:
        """costs: {group: [width]}."""
        self.costs, self.name = costs, name
        self.total = float(sum(values.sum() for values in costs.values()))

    def of(self, keep: Mapping[str, np.ndarray]) -> float:
        """Return the cost of the channels that masks {group: bool [width]} keep; groups not named stay whole."""
        return self.total - sum(float(self.costs[name][~mask].sum()) for name, mask in keep.items())

    def ledger(self) -> "ChannelLedger":
        """Return the account of a cut that begins with the whole network."""
        return ChannelLedger(self)


class ChannelLedger:
    """What a cut leaves of a ChannelCost."""

    def __init__(self, cost: ChannelCost) -> None:
        self.costs, self.left = cost.costs, cost.total

    def gain(self, group: str, channels: np.ndarray) -> float:
        """Return what goes with channels (indices) of a group."""
        return float(self.costs[group][channels].sum())

    def remove(self, group: str, channels: np.ndarray) -> None:
        """Take channels out."""
        self.left -= self.gain(group, channels)


class NetworkCost:
    """A sum over the layers of a network of a function of the channels that each one reads and gives.

    It is exact for FLOPs and parameters: what a channel costs depends on what has gone from the layers around it.
    """

    def __init__(self, name: str, graph: ChannelGraph, functions: Any, constant: float = 0.0, block: int = 1) -> None:
        """Take over what each layer costs.

        Args:
            name: what is counted.
            graph: ChannelGraph.
            functions: {layer name: function (inputs kept, outputs kept) → cost}; other layers cost nothing.
            constant: what the rest of the network costs.
            block: channels that the functions count together.
        """
        self.name, self.constant, self.block = name, constant, block
        self.functions = [functions[layer] for layer in functions]
        layers = [graph.layers[layer] for layer in functions]
        self.widths = np.array([(len(layer.inputs), len(layer.outputs)) for layer in layers]).reshape(-1, 2)
        self.touched = touched_layers(graph, layers)
        self.total = self.at(self.widths)

    def at(self, counts: Any) -> Any:
        """Return the cost when the layers read and give `counts` [layers, 2] channels."""
        return self.constant + float(sum(f(*row) for f, row in zip(self.functions, counts.tolist())))

    def counts(self, keep: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return [layers, 2]: how many channels each layer reads and gives under masks {group: bool [width]}."""
        counts = self.widths.copy()
        for name, mask in keep.items():
            for layer, inputs, outputs in self.touched.get(name, ()):
                counts[layer] -= inputs[~mask].sum(), outputs[~mask].sum()
        return counts

    def of(self, keep: Mapping[str, np.ndarray]) -> float:
        """Return the cost of what masks {group: bool [width]} leave; groups that are not named stay whole."""
        return self.at(self.counts(keep))

    def ledger(self) -> "NetworkLedger":
        """Return the account of a cut that begins with the whole network."""
        return NetworkLedger(self)

    @classmethod
    def flops(cls, graph: ChannelGraph, model: Any, image_size: int = 640) -> "NetworkCost":
        """Return the cost in FLOPs for one image (side in pixels): two per multiply-add, as models.cost counts them."""
        traced = cls.traced_flops(graph, model, image_size**2)
        rest = count_gflops(model, image_size) * 1e9 - traced.total  # what could not be traced
        traced.constant = max(round(rest), 0)
        traced.total += traced.constant
        return traced

    @classmethod
    def traced_flops(cls, graph: ChannelGraph, model: Any, pixels: int) -> "NetworkCost":
        """Return the cost in FLOPs of the layers of a ChannelGraph alone, for an image of so many pixels."""
        functions = {}
        for layer in graph.layers.values():
            module = model.get_submodule(layer.name)
            if layer.is_attention:
                functions[layer.name] = projections(2 * layer.area * pixels)
            elif not layer.is_norm:
                each = 2 * layer.area * pixels * module.weight[0, 0].numel()
                functions[layer.name] = product(each, layer, module)
        return cls("FLOPs", graph, functions)

    @classmethod
    def parameters(cls, graph: ChannelGraph, model: Any) -> "NetworkCost":
        """Return the cost in parameters, as models.cost counts them."""
        functions = {}
        for layer in graph.layers.values():
            module = model.get_submodule(layer.name)
            if layer.is_attention:
                functions[layer.name] = projections(1, module.in_proj_bias is not None)
            elif not layer.is_norm:
                functions[layer.name] = product(module.weight[0, 0].numel(), layer, module, module.bias is not None)
            else:
                functions[layer.name] = lambda inputs, outputs: 2 * outputs
        traced = cls("parameters", graph, functions)
        return cls("parameters", graph, functions, count_parameters(model) - traced.total)


def product(each: float, layer: Layer, module: Any, bias: bool = False) -> Callable[..., float]:
    """Return the function that gives a layer's cost from the channels that stay, `each` for one pair of them."""
    groups = getattr(module, "groups", 1)
    return lambda inputs, outputs: (each * layer.fan_in(inputs, groups) + bias) * outputs


def projections(each: float, bias: bool = False) -> Callable[..., float]:
    """Return the function that gives the cost of the projections of query, key, value and output of attention."""
    return lambda inputs, outputs: 4 * each * (inputs + bias) * outputs


def touched_layers(graph: ChannelGraph, layers: Any) -> dict[str, Any]:
    """Return {free group: [(index into layers, [width] how often each channel is read there, … is given there)]}."""
    place = {label: (g, i) for g in graph.free_groups for i, label in enumerate(g.labels.tolist())}
    touched: dict[str, dict] = defaultdict(dict)
    for number, layer in enumerate(layers):
        for side, labels in enumerate((layer.inputs, layer.outputs)):
            for label in labels.tolist():
                if label in place:
                    group, index = place[label]
                    zeros = touched[group.name].setdefault(number, np.zeros((2, group.width), dtype=int))
                    zeros[side, index] += 1
    return {name: [(number, *counts) for number, counts in found.items()] for name, found in touched.items()}


class NetworkLedger:
    """What a cut leaves of a NetworkCost; only the layers around a block are looked at."""

    def __init__(self, cost: NetworkCost) -> None:
        self.cost, self.left = cost, cost.total
        self.counts = cost.widths.tolist()
        self.values = [f(*row) for f, row in zip(cost.functions, self.counts)]

    def without(self, group: str, channels: np.ndarray) -> Any:
        """Return [(layer index, inputs, outputs, cost)] of the layers around a group once channels are gone."""
        after = []
        for layer, inputs, outputs in self.cost.touched.get(group, ()):
            reads, gives = self.counts[layer]
            reads, gives = reads - int(inputs[channels].sum()), gives - int(outputs[channels].sum())
            after.append((layer, reads, gives, self.cost.functions[layer](reads, gives)))
        return after

    def gain(self, group: str, channels: np.ndarray) -> float:
        """Return what goes with channels (indices) of a group, as things stand."""
        return sum(self.values[layer] - value for layer, _, _, value in self.without(group, channels))

    def remove(self, group: str, channels: np.ndarray) -> None:
        """Take channels out."""
        for layer, reads, gives, value in self.without(group, channels):
            self.left += value - self.values[layer]
            self.counts[layer], self.values[layer] = (reads, gives), value
