"""What channels cost in milliseconds: a model of a network's time, fitted to times measured on this machine.

Pointwise convolutions, wider kernels and the reading and writing of feature maps each have a speed of their own; a
processor computes in blocks of channels. Three rates and the size of the block are fitted to the network and to some
random cuts of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.benchmark.latency import measure_latency
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.choice.costs import NetworkCost

BLOCKS = (1, 4, 8, 16)  # channels that are computed together; the one that fits best is taken
SAMPLES = 12  # random cuts that are measured
FIT_ROUNDS = 15  # how often each one runs
NARROWEST = 0.15  # mean share of the channels that the narrowest cuts keep
SPREAD = 0.5  # a group keeps between (1 − this) and (1 + this) times the share of its cut


@dataclass(frozen=True)
class Rates:
    """What a network's time is made of on one machine.

    `parts` of a layer are [multiply-adds of a 1×1 kernel, of a larger one, values of its input and output maps], with
    widths rounded up to whole blocks.
    """

    rates: tuple[float, float, float]  # milliseconds for one of each part
    constant: float  # milliseconds that no channel has a part in
    block: int
    image_size: int  # side in pixels
    error: float  # mean relative error on the networks it was fitted to

    def cost(self, graph: ChannelGraph, model: Any) -> NetworkCost:
        """Return the NetworkCost in milliseconds."""
        functions = {
            name: self.time_of(layer_parts(graph.layers[name], model, self.image_size, self.block))
            for name in convolutions(graph)
        }
        return NetworkCost("milliseconds", graph, functions, self.constant, self.block)

    def time_of(self, parts: Any) -> Callable[..., Any]:
        """Return the function (inputs, outputs) → milliseconds of the layer with these parts."""
        return lambda inputs, outputs: float(np.dot(self.rates, parts(inputs, outputs)))


def convolutions(graph: ChannelGraph) -> list[str]:
    """Return the names of a ChannelGraph's convolutions."""
    return [layer.name for layer in graph.layers.values() if layer.is_conv]


def layer_parts(layer: Any, model: Any, image_size: int, block: int) -> Callable[..., Any]:
    """Return the function (inputs, outputs) → parts [3] of a convolution, see Rates."""
    conv = model.get_submodule(layer.name)
    kernel = conv.weight[0, 0].numel()
    pixels = layer.area * image_size**2
    read = pixels * conv.stride[0] * conv.stride[1]

    def parts(inputs, outputs):
        """Return what is multiplied by each of the rates, for these widths."""
        given, taken = (-(-width // block) * block for width in (outputs, inputs))
        products = pixels * kernel * given * layer.fan_in(taken, conv.groups)
        return np.array([products * (kernel == 1), products * (kernel > 1), pixels * given + read * taken])

    return parts


def fit_rates(
    graph: ChannelGraph,
    model: Any,
    image_size: int,
    runtime: str,
    rng: np.random.Generator,
    rounds: int = FIT_ROUNDS,
    latency: Callable[..., Any] = measure_latency,
) -> Rates:
    """Return the Rates of this machine's CPU, one thread, for a network and what can be cut out of it.

    Args:
        graph, model: ChannelGraph and its DetectionModel.
        image_size: side in pixels.
        runtime: one of utils.benchmark.options.RUNTIMES.
        rng: numpy Generator that draws the cuts.
        rounds: how often each network runs; all take turns.
        latency: how networks are measured.
    """
    cuts = [{}, *(random_cut(graph, rng.uniform(NARROWEST, 1), rng) for _ in range(SAMPLES))]
    networks = {number: rebuild(model, graph, keep) for number, keep in enumerate(cuts)}
    times = np.array(list(latency(networks, image_size, runtime, rounds).values()))
    fits = [fit_block(graph, model, cuts, times, block, image_size) for block in BLOCKS]
    return min(fits, key=lambda rates: rates.error)


def fit_block(graph: ChannelGraph, model: Any, cuts: Any, times: np.ndarray, block: int, image_size: int) -> Any:
    """Return the Rates of one size of block: non-negative least squares over relative errors.

    cuts: masks {group: bool [width]} of each measured network; times: [networks] milliseconds.
    """
    layers = [graph.layers[name] for name in convolutions(graph)]
    parts = [layer_parts(layer, model, image_size, block) for layer in layers]
    names = [layer.name for layer in layers]
    counter = NetworkCost("channels", graph, dict.fromkeys(names, lambda inputs, outputs: 0.0))
    table = np.array(
        [[*sum(function(*widths) for function, widths in zip(parts, counter.counts(keep))), 1.0] for keep in cuts]
    )
    rates = non_negative(table / times[:, None], np.ones(len(times)))
    error = float(np.abs(table @ rates / times - 1).mean())
    return Rates(tuple(rates[:3].tolist()), float(rates[3]), block, image_size, error)


def non_negative(table: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the coefficients [k], none negative, with table [n, k] · coefficients near target [n] in least squares.

    The most negative coefficient is fixed at zero until none is left.
    """
    used = np.ones(table.shape[1], dtype=bool)
    scales = np.abs(table).max(axis=0).clip(1e-300)
    while True:
        found = np.zeros(table.shape[1])
        found[used] = np.linalg.lstsq(table[:, used] / scales[used], target, rcond=None)[0] / scales[used]
        if (found >= 0).all():
            return found
        used[np.argmin(found * scales)] = False


def random_cut(graph: ChannelGraph, share: float, rng: np.random.Generator, multiple: int = 8) -> dict[str, np.ndarray]:
    """Return masks {group: bool [width]} that keep about `share` of the channels, in uneven widths as after pruning.

    Kept widths are multiples of `multiple`, or all that a group has.
    """
    masks = {}
    for group in graph.free_groups:
        wanted = group.width * share * rng.uniform(1 - SPREAD, 1 + SPREAD)
        masks[group.name] = np.arange(group.width) < min(max(round(wanted / multiple), 1) * multiple, group.width)
    return masks
