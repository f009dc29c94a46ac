"""All criteria by name: what --criterion chooses from."""

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.pruning.channels.groups import ChannelGraph
from utils.pruning.scores import from_weights
from utils.pruning.scores.from_data import FROM_DATA, Evidence
from utils.pruning.scores.from_weights import FROM_WEIGHTS
from utils.pruning.scores.parameters import ChannelParameters, aggregate, check_finite


def score_channels(
    model: DetectionModel,
    graph: ChannelGraph,
    criterion: str,
    way: str = "sum",
    evidence: Evidence | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, np.ndarray]:
    """Return {group: [width] what is lost with each channel}; silent channels score zero whatever the criterion.

    Args:
        criterion: one of recipe.CRITERIA.
        way: how tied channels are joined, one of recipe.AGGREGATES; criteria from data judge them together anyway.
        evidence: for a criterion from data.
        generator: torch.Generator, for 'random'.

    Raises InputError when the network has no batch norm on any channel that may go, or weights that are not finite.
    """
    parameters = ChannelParameters(model, graph)
    if criterion in FROM_DATA:
        assert evidence is not None, "criteria from data look at images"
        scores = FROM_DATA[criterion](model, graph, evidence)
    elif criterion == "random":
        scores = aggregate(graph, from_weights.chance(model, graph, generator))
    else:
        scores = aggregate(graph, FROM_WEIGHTS[criterion](model, graph), way)
    check_finite(scores, "gamma" if criterion == "bn" else f"what --criterion {criterion} reads")
    loudest = parameters.by_group(parameters.per_channel(parameters.loudness))
    return {name: np.where(loudest.get(name, 1.0) == 0, 0.0, values) for name, values in scores.items()}
