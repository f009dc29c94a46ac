"""What the tests of checkpoints do to networks."""

import numpy as np
import torch

from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild


def half_of_each(model):
    graph = trace_channels(model)
    return rebuild(model, graph, {g.name: np.arange(g.width) % 2 == 0 for g in graph.free_groups})


def predictions(model, size=64):
    image = torch.from_numpy(np.random.default_rng(0).random((1, 3, size, size), dtype=np.float32))
    with torch.no_grad():
        return model.float().eval()(image)[0]
