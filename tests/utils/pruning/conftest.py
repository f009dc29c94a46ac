"""Networks whose every number matters: no zero beta, no unit gamma."""

import pytest
import torch
from torch import nn


def stir(model):
    """Give all batch norms of a network random gammas, betas and statistics; return it in evaluation mode."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture
def stirred():
    """The function that makes a network's numbers random."""
    return stir
