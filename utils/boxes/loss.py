"""The training loss of YOLOv5: CIoU for boxes, binary cross entropy for objectness and classes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from models.yolo import DetectionModel
from utils.boxes.geometry import ciou

BALANCE = {3: (4.0, 1.0, 0.4)}  # objectness weights by number of scales, fine to coarse
BALANCE_OTHER = (4.0, 1.0, 0.25, 0.06, 0.02)
FOCAL_ALPHA = 0.25
REFERENCE_SIZE, REFERENCE_SCALES, REFERENCE_CLASSES = 640, 3, 80  # what the gains of the hyp files were tuned for


def scaled_gains(hyp: Mapping[str, float], scales: int, classes: int, imgsz: int) -> tuple[float, float, float]:
    """Return the gains (box, obj, cls) of `hyp` for a network of so many scales and classes at this image size."""
    scale = REFERENCE_SCALES / scales
    return (
        hyp["box"] * scale,
        hyp["obj"] * (imgsz / REFERENCE_SIZE) ** 2 * scale,
        hyp["cls"] * classes / REFERENCE_CLASSES * scale,
    )


def assign_targets(
    targets: torch.Tensor, anchors: torch.Tensor, grid: tuple[int, int], anchor_t: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Choose the anchors and cells of one scale that must predict each target.

    An anchor takes a target when neither side differs by a factor of anchor_t or more. It does so in the cell of the
    target's centre and in the nearest neighbour to the side and above or below, where those lie in the grid.

    Args:
        targets: [N, 6] image index, class, cx, cy, w, h normalised.
        anchors: [na, 2] w, h in cells.
        grid: (nx, ny) cells.

    Returns:
        target index [M], anchor index [M], cell [M, 2] (x, y), box [M, 4] in cells (cx, cy from the
        cell's corner, w, h).
    """
    size = torch.tensor(grid, device=targets.device)
    centres, sides = targets[:, 2:4] * size, targets[:, 4:6] * size
    ratio = sides[None] / anchors[:, None]  # [na, N, 2]
    anchor, index = (torch.max(ratio, 1 / ratio).amax(2) < anchor_t).nonzero(as_tuple=True)
    centre, side = centres[index], sides[index]  # [M, 2]
    cell = torch.min(centre.floor(), size - 1.0)  # a centre on the right or lower border
    within = centre - cell
    before = (within < 0.5) & (centre > 1)
    after = (within > 0.5) & (centre < size - 1)
    step = after.to(centre.dtype) - before.to(centre.dtype)  # [M, 2]: -1, 0 or 1 in x and y
    across = torch.eye(2, device=targets.device)
    rows_x, rows_y = (column.nonzero()[:, 0] for column in step.unbind(1))
    rows = torch.cat((torch.arange(len(index), device=targets.device), rows_x, rows_y))
    cells = torch.cat((cell, cell[rows_x] + step[rows_x] * across[0], cell[rows_y] + step[rows_y] * across[1]))
    return index[rows], anchor[rows], cells.long(), torch.cat((centre[rows] - cells, side[rows]), 1)


class Picked(torch.autograd.Function):
    """What the loss reads of a raw output: every objectness, and the rows that must predict a target; as float32.

    Plain indexing would give the same with a gradient buffer, of the whole output's size, for each of the two.
    """

    @staticmethod
    def forward(ctx: Any, raw: torch.Tensor, *place: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """raw: [B, na, ny, nx, no]; place: image, anchor, y, x [M]. Returns [B, na, ny, nx] and [M, no]."""
        ctx.save_for_backward(*place)
        ctx.layout = raw.shape, raw.stride(), raw.dtype
        return raw[..., 4].to(torch.float32, copy=True, memory_format=torch.contiguous_format), raw[place].float()

    @staticmethod
    def backward(ctx: Any, objectness: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of raw."""
        shape, stride, dtype = ctx.layout
        gradient = torch.empty_strided(shape, stride, dtype=dtype, device=rows.device).zero_()
        gradient[..., 4] = objectness
        gradient.index_put_(ctx.saved_tensors, rows.to(dtype), accumulate=True)
        return gradient, None, None, None, None


class DetectionLoss:
    """The weighted sum of box, objectness and class loss of a batch."""

    def __init__(
        self,
        model: DetectionModel,
        hyp: Mapping[str, float],
        imgsz: int = REFERENCE_SIZE,
        average: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        """Read anchors and classes off a network, gains off its hyper-parameters.

        Args:
            model: DetectionModel; its Detect layer gives anchors and sizes, read at every call.
            hyp: box, obj, cls (gains), obj_pw, cls_pw (weights of positives), anchor_t, fl_gamma, label_smoothing.
            imgsz: the image size that the objectness gain is scaled for.
            average: maps a tensor to its mean over all processes; so their mean gradient is that of the joint batch.
        """
        self.detect = model.model[-1]
        self.gains = scaled_gains(hyp, self.detect.nl, self.detect.nc, imgsz)
        self.balance = BALANCE.get(self.detect.nl, BALANCE_OTHER)
        self.anchor_t = hyp["anchor_t"]
        self.gamma = hyp.get("fl_gamma", 0.0)
        self.obj_pw, self.cls_pw = hyp.get("obj_pw", 1.0), hyp.get("cls_pw", 1.0)
        smoothing = hyp.get("label_smoothing", 0.0)
        self.positive, self.negative = 1 - smoothing / 2, smoothing / 2
        self.average = average or (lambda counts: counts)

    def __call__(
        self, raw: list[torch.Tensor], targets: torch.Tensor, counts: list[float] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (loss times batch size, tensor [3] of box, objectness and class loss without gradient), in float32.

        raw: list of nl maps [B, na, ny, nx, 5+nc]; targets: [N, 6] image index, class, cx, cy, w, h normalised.
        counts: what to divide the box and class losses of each scale by [nl], when not by its own matches.
        """
        targets = targets.to(raw[0].device)
        matches = self.matches(raw, targets)
        counts = counts or self.counts(matches)
        parts = [self.scale_loss(i, y, targets, matches[i], counts[i]) for i, y in enumerate(raw)]
        losses = torch.stack([torch.stack(part) for part in parts]).sum(0)
        losses = losses * losses.new_tensor(self.gains)
        return losses.sum() * raw[0].shape[0], losses.detach()

    def matches(self, raw: list[torch.Tensor], targets: torch.Tensor) -> list[Any]:
        """Return assign_targets of each scale, for the grids of raw outputs."""
        return [
            assign_targets(targets, self.detect.anchors[i], (y.shape[3], y.shape[2]), self.anchor_t)
            for i, y in enumerate(raw)
        ]

    def counts(self, matches: list[Any]) -> list[float]:
        """Return how many matches each scale has [nl], the mean over all processes."""
        own = torch.tensor([float(len(match[0])) for match in matches], device=matches[0][0].device)
        return self.average(own).tolist()

    def scale_loss(
        self,
        i: int,
        raw: torch.Tensor,
        targets: torch.Tensor,
        match: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
        count: float,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (box, objectness, class) loss of scale i, ungained; `count` is the number of matches to divide by."""
        index, anchor, cell, box = match
        place = targets[index, 0].long(), anchor, cell[:, 1], cell[:, 0]
        objectness, chosen = Picked.apply(raw, *place)
        truth = torch.zeros_like(objectness)
        box_loss = class_loss = objectness.new_zeros(())
        if len(index):
            overlap = ciou(self.boxes(i, chosen, anchor), box)
            box_loss = (1 - overlap).sum() / count
            # Two targets may claim one cell: the better overlap counts, whatever their order.
            _, na, ny, nx = truth.shape
            flat = ((place[0] * na + place[1]) * ny + place[2]) * nx + place[3]
            truth.view(-1).scatter_reduce_(0, flat, overlap.detach().clamp(0), "amax")
            if self.detect.nc > 1:
                wanted = torch.full_like(chosen[:, 5:], self.negative)
                wanted.scatter_(1, targets[index, 1].long()[:, None], self.positive)
                class_loss = self.entropy(chosen[:, 5:], wanted, self.cls_pw).sum() / (count * self.detect.nc)
        object_loss = self.entropy(objectness, truth, self.obj_pw).mean() * self.balance[i]
        return box_loss, object_loss, class_loss

    def boxes(self, i: int, rows: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
        """Return the boxes [M, 4] (cx, cy from the cell's corner, w, h; in cells) of raw outputs [M, no] of scale i."""
        xy = rows[:, :2].sigmoid() * 2 - 0.5
        wh = (rows[:, 2:4].sigmoid() * 2) ** 2 * self.detect.anchors[i][anchor]
        return torch.cat((xy, wh), 1)

    def entropy(self, logits: torch.Tensor, wanted: torch.Tensor, positive_weight: float) -> torch.Tensor:
        """Return the element-wise binary cross entropy, focal when fl_gamma > 0 (Lin et al. 2017)."""
        weight = None if positive_weight == 1 else logits.new_tensor(positive_weight)
        loss = binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight, reduction="none")
        if self.gamma <= 0:
            return loss
        probability = logits.sigmoid()
        hit = wanted * probability + (1 - wanted) * (1 - probability)
        alpha = wanted * FOCAL_ALPHA + (1 - wanted) * (1 - FOCAL_ALPHA)
        return loss * alpha * (1 - hit) ** self.gamma
