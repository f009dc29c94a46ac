"""What a run consists of, in a few lines to read before it begins."""

import torch

from models.cost import count_gflops, count_parameters
from models.yolo import DetectionModel
from utils.training.run import Run


def opening_lines(run: Run) -> list[str]:
    """Return what is trained, on what, and how: network, device, optimizer."""
    return [
        model_line(run.model, run.settings.imgsz),
        device_line(run.device),
        optimizer_line(run.optimizer, run.schedule.lr0),
    ]


def model_line(model: DetectionModel, imgsz: int) -> str:
    """Return the size of a network: its modules, parameters, and operations for an image of imgsz pixels."""
    gflops = count_gflops(model, imgsz, model.yaml["ch"])
    layers = len(list(model.modules()))
    return f"model: {layers} layers, {count_parameters(model):,} parameters, {gflops:.3g} GFLOPs at {imgsz} px"


def device_line(device: torch.device) -> str:
    """Return where the network is trained."""
    if device.type != "cuda":
        threads = torch.get_num_threads()
        return f"device: {device.type}, {threads} thread{'s' * (threads != 1)}"
    card = torch.cuda.get_device_properties(device)
    return f"device: {device}, {card.name}, {card.total_memory / 1e9:.0f} GB"


def optimizer_line(optimizer: torch.optim.Optimizer, lr0: float) -> str:
    """Return how many tensors the optimizer changes, with weight decay and without it; lr0: first learning rate."""
    groups = optimizer.param_groups
    decayed, others = (
        sum(len(group["params"]) for group in groups if bool(group["weight_decay"]) is wanted)
        for wanted in (True, False)
    )
    decay = max(group["weight_decay"] for group in groups)
    name = type(optimizer).__name__
    return f"optimizer: {name}, lr {lr0:g}; {decayed} tensors with weight decay {decay:g}, {others} without"
