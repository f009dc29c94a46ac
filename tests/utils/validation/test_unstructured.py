"""Single weights set to zero by magnitude."""

from copy import deepcopy

import torch
from torch import nn

from utils.validation.unstructured import zero_smallest


def test_each_convolution_loses_its_share_of_folded_weights(tiny_model):
    for norm in (m for m in tiny_model.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.1, 2)  # so that the order differs from that of the weights alone
    expected = deepcopy(tiny_model).eval().fuse()
    zeros = 0
    for module in expected.modules():
        if isinstance(module, nn.Conv2d):
            weights = module.weight.detach().flatten()
            count = round(0.3 * len(weights))
            weights[weights.abs().argsort()[:count]] = 0
            zeros += count
    share = zero_smallest(tiny_model, 0.3)
    for name, module in tiny_model.eval().fuse().named_modules():
        if isinstance(module, nn.Conv2d):
            assert torch.equal(module.weight, expected.get_submodule(name).weight)
    # Biases of Conv blocks are zero in a network that never trained.
    parameters = list(expected.parameters())
    assert share == sum(int((p == 0).sum()) for p in parameters) / sum(p.numel() for p in parameters)
    assert share >= zeros / sum(p.numel() for p in parameters)


def test_nothing_asked_is_nothing_done(tiny_model):
    before = deepcopy(tiny_model.state_dict())
    zero_smallest(tiny_model, 0.0)
    assert all(torch.equal(before[key], value) for key, value in tiny_model.state_dict().items())
