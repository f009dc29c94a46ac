"""The batch size that fits a GPU (--batch-size -1)."""

from collections.abc import Sequence

import numpy as np
import torch

from models.yolo import DetectionModel

TRIED = (1, 2, 4, 8, 16)
SHARE = 0.8  # of the free memory
LARGEST = 1024


def largest_batch(sizes: Sequence[int], used: Sequence[float], budget: float) -> int:
    """Return the batch size whose memory, on a straight line through the measured ones, stays within the budget.

    sizes: batch sizes [n]; used: bytes [n]; budget: bytes. At least 1, at most LARGEST.
    """
    if len(sizes) < 2:
        return max(sizes, default=1)
    slope, offset = np.polyfit(sizes, used, 1)
    if slope <= 0:
        return max(sizes)
    return int(min(max((budget - offset) / slope, 1), LARGEST))


def fitting_batch(model: DetectionModel, imgsz: int, device: torch.device, amp: torch.dtype | None = None) -> int:
    """Return the batch size for training `model` at imgsz on a CUDA device; amp: type of mixed precision or None.

    The model is left where and as it is.
    """
    home, training = next(model.parameters()).device, model.training
    state = {key: value.clone() for key, value in model.state_dict().items()}  # batch norms watch the trials
    model.to(device).train()
    free, _ = torch.cuda.mem_get_info(device)
    sizes, used = [], []
    for size in TRIED:
        try:
            used.append(step_memory(model, size, imgsz, device, amp))
        except torch.cuda.OutOfMemoryError:
            break
        sizes.append(size)
    model.to(home).train(training)
    model.load_state_dict(state)
    model.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    return largest_batch(sizes, used, SHARE * free)


def step_memory(model: DetectionModel, size: int, imgsz: int, device: torch.device, amp: torch.dtype | None) -> int:
    """Return the most bytes that one forward and backward pass of so many images takes."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    images = torch.zeros(size, 3, imgsz, imgsz, device=device)
    with torch.autocast(device.type, amp, enabled=amp is not None):
        raw = model(images)
    sum(y.float().sum() for y in raw).backward()
    return torch.cuda.max_memory_allocated(device) - before
