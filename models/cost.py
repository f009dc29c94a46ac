"""What a network costs: parameters and floating-point operations."""

import math
from typing import Any

import torch
from torch import nn


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def count_gflops(model: nn.Module, image_size: int | tuple[int, int] = 640, channels: int = 3) -> float:
    """Return the billions of floating-point operations for one image.

    These are two per multiply-add of convolutions, also transposed ones, and linear layers, also within attention. The
    products between tokens are left out.

    image_size: side, or (height, width), in pixels. Measured on a small image and scaled by the area, because every
    detection layer works per pixel.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    stride = getattr(model, "stride", None)
    side = max(64, 2 * int(stride.max())) if stride is not None else 64
    total = 0

    def count(module: Any, given: Any, output: Any) -> None:
        """Add the operations of one layer."""
        nonlocal total
        if isinstance(module, nn.MultiheadAttention):  # does not call its projections as layers
            each = module.in_proj_weight.numel() + module.out_proj.weight.numel()
            total += 2 * each * output[0].numel() / module.embed_dim
        elif isinstance(module, nn.ConvTranspose2d):
            total += 2 * module.weight[0].numel() * given[0].numel()  # each number goes into as many of the output
        else:
            total += 2 * module.weight[0].numel() * output.numel()  # multiply-adds behind one number of the output

    counted = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.MultiheadAttention)
    layers = [m for m in model.modules() if isinstance(m, counted)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    training, weight = model.training, next(model.parameters())
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, channels, side, side, device=weight.device, dtype=weight.dtype))
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    return total / 1e9 * (height * width) / side**2


def output_cells(module: Any, args: Any) -> int:
    """Return how many values a leaf module that can enlarge a map [B, C, H, W] gives for it; 0 for all others."""
    if getattr(args[0], "ndim", 0) != 4:
        return 0
    if isinstance(module, nn.Conv2d):
        spans: Any = zip(
            args[0].shape[2:], module.padding, module.dilation, module.kernel_size, module.stride, strict=True
        )
        sides = [
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, padding, dilation, kernel, stride in spans
        ]
        return len(args[0]) * module.out_channels * math.prod(sides)
    if isinstance(module, nn.Upsample):
        factor = module.scale_factor or 1
        factors = factor if isinstance(factor, tuple) else (factor, factor)
        size = module.size if isinstance(module.size, tuple) else (module.size, module.size)
        return args[0].shape[:2].numel() * math.prod(
            side or x * f for side, x, f in zip(size, args[0].shape[2:], factors, strict=True)
        )
    if isinstance(module, nn.ZeroPad2d):
        left, right, top, bottom = module.padding
        height, width = args[0].shape[2:]
        return args[0].shape[:2].numel() * (height + top + bottom) * (width + left + right)
    return 0
