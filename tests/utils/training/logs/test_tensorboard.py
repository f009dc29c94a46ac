import pytest
import torch

from utils.training.logs.gamma import batch_norm_weights
from utils.training.logs.tensorboard import TensorBoardHook


def test_tensorboard_gets_numbers_and_gammas(make_state, tiny_model):
    written = {}

    class Writer:
        def __init__(self, folder, first_epoch):
            self.first = first_epoch

        def add_scalar(self, name, value, step):
            written[name] = (value, step)

        def add_histogram(self, name, values, step):
            written[name] = (len(values), step)

        def flush(self):
            pass

        def close(self):
            written["closed"] = True

    with torch.no_grad():
        tiny_model.model[0].bn.weight.zero_()
    hook, run = TensorBoardHook(Writer), make_state(tiny_model, epoch=4)
    hook.start(run)
    hook.after_validation(run)
    hook.finish(run)
    total = sum(len(weight) for weight in batch_norm_weights(tiny_model).values())
    assert hook.writer.first == 4 and written["extra"] == (5.0, 4) and written["closed"]
    assert written["bn/model.0.bn"] == (8, 4) and written["bn/all"] == (total, 4)
    assert written["bn/share_below_0.001"] == pytest.approx((8 / total, 4))
