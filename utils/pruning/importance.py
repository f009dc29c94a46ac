"""How much each channel matters: scores per channel group, the smallest go first."""

import numpy as np

from utils.errors import InputError


def gamma_scores(model, graph):
    """Return {group name: [width] mean |gamma| over the batch norms that act on each channel} (Liu et al. 2017).

    Groups without a batch norm have no score and stay whole. Raises InputError when nothing can be scored.
    """
    gammas = {
        layer.name: model.get_submodule(layer.name).weight.detach().abs().double().cpu().numpy()
        for layer in graph.layers.values()
        if not layer.is_conv
    }
    scores = {}
    for group in graph.free_groups:
        if group.norms:
            scores[group.name] = mean_by_label(group, [(graph.layers[n].outputs, gammas[n]) for n in group.norms])
    if not scores:
        raise InputError("the model has no batch norm on any channel that may go; a fused checkpoint cannot be pruned")
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise InputError(f"{name}: gamma contains NaN or infinity; the checkpoint is damaged")
    return scores


def mean_by_label(group, vectors):
    """Return [width]: for each label of a group the mean of the values at its places in (labels, values) pairs."""
    sums, counts = np.zeros(group.width), np.zeros(group.width)
    place = {label: i for i, label in enumerate(group.labels.tolist())}
    for labels, values in vectors:
        for label, value in zip(labels.tolist(), values):
            if label in place:
                sums[place[label]] += value
                counts[place[label]] += 1
    return sums / np.maximum(counts, 1)
