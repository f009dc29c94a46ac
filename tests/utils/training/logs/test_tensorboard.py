from types import SimpleNamespace

import pytest
import torch

from utils.training.logs.gamma import batch_norm_weights
from utils.training.logs.tensorboard import TensorBoardHook, write_graph


def test_tensorboard_gets_numbers_and_gammas(make_state, tiny_model):
    written = {}

    class Writer:
        def __init__(self, folder, first_epoch):
            self.first = first_epoch

        def add_scalar(self, name, value, step):
            written[name] = (value, step)

        def add_histogram(self, name, values, step):
            written[name] = (len(values), step)

        def add_graph(self, network, images):
            written["graph"] = (network, images)

        def flush(self):
            pass

        def close(self):
            written["closed"] = True

    with torch.no_grad():
        tiny_model.model[0].bn.weight.zero_()
    hook, run = TensorBoardHook(Writer, graph=True), make_state(tiny_model, epoch=4)
    hook.start(run)
    hook.after_validation(run)
    hook.finish(run)
    assert "graph" not in written  # that of the first epoch is there
    total = sum(len(weight) for weight in batch_norm_weights(tiny_model).values())
    assert hook.writer.first == 4 and written["extra"] == (5.0, 4) and written["closed"]
    assert written["bn/model.0.bn"] == (8, 4) and written["bn/all"] == (total, 4)
    assert written["bn/share_below_0.001"] == pytest.approx((8 / total, 4))


def test_the_graph_is_that_of_the_network_up_to_its_raw_outputs(tiny_model):
    graphs = []
    write_graph(SimpleNamespace(add_graph=lambda *graph: graphs.append(graph)), tiny_model)
    tiny_model.eval()
    ((traced, (images,)),) = graphs
    with torch.no_grad():
        raw = tiny_model(images)[1]
    assert images.shape == (1, 3, 64, 64) and all(map(torch.equal, traced(images), raw))


def test_a_network_that_cannot_be_drawn_costs_the_graph_alone(make_state, tiny_model, capsys):
    class Writer:
        def __init__(self, folder, first_epoch):
            pass

        def add_graph(self, network, images):
            raise AssertionError("no graph is there")

    class Strange(torch.nn.Module):
        def forward(self, x):
            raise TypeError("no")

    tiny_model.model[0].act = Strange()
    hook, run = TensorBoardHook(Writer, graph=True), make_state(tiny_model)
    hook.start(run)
    assert hook.writer is not None
    assert "graph of the network (TypeError: no); the run goes on" in capsys.readouterr().err
