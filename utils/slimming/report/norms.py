"""The L1 norms of a network's filters: a guide for how much can still be cut, and where."""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
DECADES = 3


def filter_norms(model: nn.Module) -> dict[str, list[float]]:
    """Return {name of a convolution: [smallest, lower quartile, median, upper quartile, largest]}, plain numbers.

    They are of the L1 norms of its filters, each divided by the number of weights in a filter: the mean magnitude of a
    weight, so that layers of all shapes compare (Li et al. 2017 rank filters of a layer by the sum). Quartiles between
    two filters are interpolated. The order is that of the network's modules.
    """
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            norms = module.weight.detach().float().flatten(1).abs().mean(1)  # [filters]
            found[name] = torch.quantile(norms, torch.tensor(QUANTILES, device=norms.device)).tolist()
    return found


def shown_range(norms: Mapping[str, list[float]], reference: Iterable[float | None]) -> tuple[float, float]:
    """Return (lowest, highest) value of a logarithmic axis for one or more distributions of filter_norms.

    It spans DECADES at most, or a few silent filters would push all others together; what is lower stands at the edge.
    reference: medians that are marked too; None and zeros are passed over.
    """
    values = [value for row in norms.values() for value in row] + list(reference)
    positive = [value for value in values if value]
    if not positive:
        return 10.0**-DECADES, 1.0
    high = max(positive) * 1.1
    return max(min(positive) / 1.1, high / 10**DECADES), high
