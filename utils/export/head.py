"""The network that goes into an exported file: batch norms folded, Detect replaced by one that needs little space."""

from copy import deepcopy

import torch
from torch import nn

from models.yolo import Detect, DetectionModel
from utils.files.checkpoint import keep_place


class ExportHead(nn.Module):
    """Detect for export: the same predictions, without the raw outputs.

    Grid and anchors are constants of a few hundred numbers, broadcast when the file runs; as Detect keeps them, four
    numbers for every box, they would be most of a small file. Maps are decoded as they come, [ny, nx] innermost, and
    turned at the end: runtimes are slow at numbers in pairs.
    """

    def __init__(self, detect: Detect, shape: tuple[int, int] | None = None) -> None:
        """detect: Detect; shape: (height, width) of the images in pixels, or None when any size must do."""
        super().__init__()
        self.m, self.na, self.no = detect.m, detect.na, detect.no
        self.strides = [float(stride) for stride in detect.stride]
        self.fixed = shape is not None
        for i, stride in enumerate(self.strides):
            area = detect.anchors[i].float() * stride * 4  # the square of the 2 in (2 · sigmoid)²
            self.register_buffer(f"anchor{i}", area.view(1, self.na, 2, 1, 1))
            if shape is not None:
                down, across = self.corners(int(shape[0] / stride), int(shape[1] / stride), stride)
                self.register_buffer(f"down{i}", down)
                self.register_buffer(f"across{i}", across)

    @staticmethod
    def corners(ny: int, nx: int, stride: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y [2, ny, 1] and x [2, 1, nx] of cell corners less half a cell in pixels, as (0, y) and (x, 0)."""
        down = (torch.arange(ny).float() - 0.5).view(-1, 1) * torch.tensor([0.0, stride]).view(2, 1, 1)
        across = (torch.arange(nx).float() - 0.5) * torch.tensor([stride, 0.0]).view(2, 1, 1)
        return down, across

    def forward(self, x: list[torch.Tensor]) -> torch.Tensor:
        """Map maps [B, C_i, ny, nx] to predictions [B, N, 5 + nc]: cx, cy, w, h in pixels, objectness, class scores."""
        outputs = [conv(y) for conv, y in zip(self.m, x)]
        return torch.cat([self.decode(widened(y), i) for i, y in enumerate(outputs)], 1)

    def decode(self, y: torch.Tensor, i: int) -> torch.Tensor:
        """Return the predictions of scale i from its outputs [B, na·(5 + nc), ny, nx]."""
        b, _, ny, nx = y.shape
        stride = self.strides[i]
        if self.fixed:
            down, across = getattr(self, f"down{i}"), getattr(self, f"across{i}")
        else:
            down, across = (part.to(y) for part in self.corners(ny, nx, stride))
        xy, wh, scores = y.view(b, self.na, self.no, ny, nx).sigmoid().split((2, 2, self.no - 4), 2)
        xy = xy * (2 * stride) + across + down
        wh = wh * wh * getattr(self, f"anchor{i}")
        return torch.cat((xy, wh, scores), 2).permute(0, 1, 3, 4, 2).reshape(b, self.na * ny * nx, self.no)


class MapHead(nn.Module):
    """Detect for tools that decode boxes outside the file: its convolutions and the sigmoid behind them."""

    def __init__(self, detect: Detect) -> None:
        super().__init__()
        self.m = detect.m

    def forward(self, x: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Map maps [B, C_i, ny, nx] to maps [B, na·(5 + nc), ny, nx] of numbers from 0 to 1."""
        return tuple(conv(y).sigmoid() for conv, y in zip(self.m, x))


def widened(x: torch.Tensor) -> torch.Tensor:
    """Return an FP16 tensor in float32, others as they are. Beyond 1024, FP16 knows whole pixels only."""
    return x.float() if x.dtype == torch.float16 else x


def export_network(
    model: DetectionModel, shape: tuple[int, int] | None = None, half: bool = False, maps: bool = False
) -> DetectionModel:
    """Return a copy of a DetectionModel on the CPU that maps images [B, 3, H, W] to float32 predictions [B, N, 5 + nc].

    Args:
        shape: (height, width) in pixels that the copy works for, or None for any.
        half: compute in FP16, up to the outputs of Detect's convolutions; boxes are decoded in float32.
        maps: give what MapHead gives instead of predictions.
    """
    network = deepcopy(model).float().cpu().eval().fuse().requires_grad_(False)
    detect = network.model[-1]
    head = keep_place(detect, (MapHead(detect) if maps else ExportHead(detect, shape)).eval())
    network.model[-1] = head
    if half:
        for part in (*network.model[:-1], head.m):
            part.half()
        network.register_forward_pre_hook(lambda _, inputs: (inputs[0].half(),))
    return network
