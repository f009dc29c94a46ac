from torch.optim import SGD

from models.cost import count_gflops, count_parameters
from utils.training.logs.summary import model_line, optimizer_line
from utils.training.optim import build_optimizer


def test_the_network_in_numbers(tiny_model):
    line = model_line(tiny_model, 320)
    assert f"{count_parameters(tiny_model):,} parameters" in line
    assert f"{count_gflops(tiny_model, 320):.3g} GFLOPs at 320 px" in line


def test_tensors_with_and_without_decay_are_counted_apart(tiny_model):
    tiny_model.model[0].requires_grad_(False)
    optimizer = build_optimizer(tiny_model, "SGD", 0.1, 0.9, 0.0005)
    decayed = sum(parameter.ndim == 4 for parameter in tiny_model.parameters() if parameter.requires_grad)
    others = sum(parameter.ndim == 1 for parameter in tiny_model.parameters() if parameter.requires_grad)
    words = optimizer_line(optimizer, 0.01)
    assert words == f"optimizer: SGD, lr 0.01; {decayed} tensors with weight decay 0.0005, {others} without"
    plain = optimizer_line(SGD(tiny_model.parameters(), lr=0.1), 0.1)
    assert plain.endswith(f"0 tensors with weight decay 0, {len(list(tiny_model.parameters()))} without")
