from types import SimpleNamespace

import numpy as np
import pytest

from utils.training.class_balance import ImageWeightsHook, class_weights, image_weights
from utils.training.distributed import ProcessGroup

LABELS = [np.array([[0.0, 0, 0, 0, 0]] * 3), np.array([[1.0, 0, 0, 0, 0]]), np.zeros((0, 5))]


def test_weights_by_hand():
    weights = class_weights(LABELS, 3)  # 3, 1 and 0 instances
    assert weights == pytest.approx(np.array([1 / 3, 1, 1]) * 3 / (7 / 3))
    assert image_weights(LABELS, np.array([1.0, 5.0, 9.0])) == pytest.approx([3, 5, 0], abs=1e-5)


def test_learned_classes_count_less():
    loader = SimpleNamespace(batch_sampler=SimpleNamespace(weights=None), dataset=SimpleNamespace(labels=LABELS))
    hook = ImageWeightsHook(loader, 3)
    run = SimpleNamespace(
        evaluation=SimpleNamespace(per_class=[SimpleNamespace(index=1, map=0.5)]), processes=ProcessGroup()
    )
    hook.start(run)
    first = loader.batch_sampler.weights
    hook.after_validation(run)
    assert loader.batch_sampler.weights[1] == pytest.approx(first[1] / 4, rel=1e-4)
    assert loader.batch_sampler.weights[0] == first[0]
    again = ImageWeightsHook(loader, 3)
    again.load_state_dict(hook.state_dict())
    assert again.maps.tolist() == [0, 0.5, 0]
