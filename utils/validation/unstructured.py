"""Unstructured sparsity: single weights set to zero by magnitude (Han et al. 2015).

No channel goes, so neither size nor speed changes.
"""

from copy import deepcopy

import torch
from torch import nn

from models.yolo import DetectionModel


@torch.no_grad()
def zero_smallest(model: DetectionModel, share: float) -> float:
    """Set `share` of the weights of every convolution to zero, in place: the smallest once batch norms are folded in.

    The network keeps its batch norms, so it can be trained and saved as before; folded, it is what zeroing the folded
    network gives, because folding only multiplies each output channel by a number.

    Args:
        model: DetectionModel.
        share: 0 to 1, of each convolution by itself; the number of weights is rounded to the nearest, as
            torch.nn.utils.prune.l1_unstructured does.

    Returns:
        The share of zeros among all parameters of the folded network (what the public guide calls global sparsity).
    """
    fused = deepcopy(model).float().eval().fuse()
    for name, folded in fused.named_modules():
        if isinstance(folded, nn.Conv2d):
            stays = torch.ones_like(folded.weight).flatten()
            stays[folded.weight.abs().flatten().topk(round(share * len(stays)), largest=False).indices] = 0
            for weight in (folded.weight, model.get_parameter(f"{name}.weight")):
                weight *= stays.view_as(weight).to(weight.dtype)
    return zero_share(fused)


def zero_share(model: nn.Module) -> float:
    """Return the share of a model's parameters that are exactly zero."""
    parameters = list(model.parameters())
    return sum(int((p == 0).sum()) for p in parameters) / sum(p.numel() for p in parameters)
