"""The building blocks of YOLOv5 networks.

Class names, child names and plain attributes are those of the public YOLOv5, because checkpoints carry them. No block
stores its channel counts: whatever widths its convolutions have, it runs. Feature maps are [B, C, H, W] throughout.
"""

import math

import torch
from torch import nn

Act = bool | nn.Module  # the usual activation or none, or another one
Size = int | tuple[int, int]  # of a kernel, a step or a border: both sides, or (height, width)
Sizes = tuple[int, ...]
BN_EPS, BN_MOMENTUM = 1e-3, 0.03


class Conv(nn.Module):
    """Convolution without bias, batch norm, activation; padding keeps the size at stride 1."""

    def __init__(
        self, c1: int, c2: int, k: Size = 1, s: Size = 1, p: Size | None = None, g: int = 1, d: int = 1, act: Act = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, same_padding(k, p, d), groups=g, dilation=d, bias=False)
        self.bn = nn.BatchNorm2d(c2, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.act = act if isinstance(act, nn.Module) else nn.SiLU(inplace=True) if act else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H/s, W/s]; a fused Conv has no bn."""
        x = self.conv(x)
        return self.act(self.bn(x) if "bn" in self._modules else x)


def same_padding(k: Size, p: Size | None = None, d: int = 1) -> Size:
    """Return padding that keeps the size at stride 1 for kernel k (int or pair) and dilation d, unless p is given."""
    if p is not None:
        return p
    return d * (k - 1) // 2 if isinstance(k, int) else (d * (k[0] - 1) // 2, d * (k[1] - 1) // 2)


class DWConv(Conv):
    """Depth-wise Conv: as many groups as both widths allow."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, d: int = 1, act: Act = True) -> None:
        super().__init__(c1, c2, k, s, g=math.gcd(c1, c2), d=d, act=act)


class Bottleneck(nn.Module):
    """1×1 then 3×3 Conv, added to the input where shapes allow and `shortcut` asks for it (He et al. 2016)."""

    def __init__(self, c1: int, c2: int, shortcut: bool = True, g: int = 1, e: float = 0.5) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(hidden, c2, 3, 1, g=g)
        self.add = shortcut and c1 == c2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H, W]."""
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


class BottleneckCSP(nn.Module):
    """Cross-stage-partial block in its first form (Wang et al. 2020): plain convolutions, one BN over the concat."""

    def __init__(self, c1: int, c2: int, n: int = 1, shortcut: bool = True, g: int = 1, e: float = 0.5) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = nn.Conv2d(c1, hidden, 1, 1, bias=False)
        self.cv3 = nn.Conv2d(hidden, hidden, 1, 1, bias=False)
        self.cv4 = Conv(2 * hidden, c2, 1, 1)
        self.bn = nn.BatchNorm2d(2 * hidden, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.act = nn.SiLU()
        self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, g, e=1.0) for _ in range(n)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H, W]."""
        y = torch.cat((self.cv3(self.m(self.cv1(x))), self.cv2(x)), 1)
        return self.cv4(self.act(self.bn(y)))


class CrossConv(nn.Module):
    """A k×k convolution written as 1×k then k×1."""

    def __init__(
        self, c1: int, c2: int, k: int = 3, s: int = 1, g: int = 1, e: float = 1.0, shortcut: bool = False
    ) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, (1, k), (1, s))
        self.cv2 = Conv(hidden, c2, (k, 1), (s, 1), g=g)
        self.add = shortcut and c1 == c2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H/s, W/s]."""
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


class C3(nn.Module):
    """Cross-stage-partial block with three Convs and n bottlenecks in one of its two branches."""

    def __init__(self, c1: int, c2: int, n: int = 1, shortcut: bool = True, g: int = 1, e: float = 0.5) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(c1, hidden, 1, 1)
        self.cv3 = Conv(2 * hidden, c2, 1)
        self.m = self.inner(hidden, n, shortcut, g)

    @staticmethod
    def inner(c: int, n: int, shortcut: bool, g: int) -> nn.Module:
        """Return the module between cv1 and cv3; the variants below differ only here."""
        return nn.Sequential(*(Bottleneck(c, c, shortcut, g, e=1.0) for _ in range(n)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H, W]."""
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class C3x(C3):
    """C3 with CrossConvs inside."""

    @staticmethod
    def inner(c: int, n: int, shortcut: bool, g: int) -> nn.Module:
        """Return n CrossConvs."""
        return nn.Sequential(*(CrossConv(c, c, 3, 1, g, 1.0, shortcut) for _ in range(n)))


class C3TR(C3):
    """C3 with transformer layers of 4 heads inside."""

    @staticmethod
    def inner(c: int, n: int, shortcut: bool, g: int) -> nn.Module:
        """Return a TransformerBlock of n layers."""
        return TransformerBlock(c, c, 4, n)


class C3SPP(C3):
    """C3 with spatial pyramid pooling inside; takes the kernel sizes before the repeats."""

    def __init__(
        self, c1: int, c2: int, k: Sizes = (5, 9, 13), n: int = 1, shortcut: bool = True, g: int = 1, e: float = 0.5
    ) -> None:
        super().__init__(c1, c2, n, shortcut, g, e)
        hidden = int(c2 * e)
        self.m = SPP(hidden, hidden, k)


class C3Ghost(C3):
    """C3 with ghost bottlenecks inside."""

    @staticmethod
    def inner(c: int, n: int, shortcut: bool, g: int) -> nn.Module:
        """Return n GhostBottlenecks."""
        return nn.Sequential(*(GhostBottleneck(c, c) for _ in range(n)))


class TransformerLayer(nn.Module):
    """Self-attention and a two-layer perceptron, both residual, no layer norms (Dosovitskiy et al. 2021, reduced)."""

    def __init__(self, c: int, num_heads: int) -> None:
        super().__init__()
        self.q = nn.Linear(c, c, bias=False)
        self.k = nn.Linear(c, c, bias=False)
        self.v = nn.Linear(c, c, bias=False)
        self.ma = nn.MultiheadAttention(embed_dim=c, num_heads=num_heads)
        self.fc1 = nn.Linear(c, c, bias=False)
        self.fc2 = nn.Linear(c, c, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens [H·W, B, C] to the same shape."""
        x = self.ma(self.q(x), self.k(x), self.v(x))[0] + x
        return self.fc2(self.fc1(x)) + x


class TransformerBlock(nn.Module):
    """Transformer layers over the pixels of a feature map, with a learned linear position term."""

    def __init__(self, c1: int, c2: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.conv = Conv(c1, c2) if c1 != c2 else None
        self.linear = nn.Linear(c2, c2)
        self.tr = nn.Sequential(*(TransformerLayer(c2, num_heads) for _ in range(num_layers)))
        self.c2 = c2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H, W]."""
        x = x if self.conv is None else self.conv(x)
        b, _, h, w = x.shape
        tokens = x.flatten(2).permute(2, 0, 1)  # [H·W, B, C]
        return self.tr(tokens + self.linear(tokens)).permute(1, 2, 0).reshape(b, self.c2, h, w)


class SPP(nn.Module):
    """Spatial pyramid pooling (He et al. 2014): max pools of several sizes in parallel."""

    def __init__(self, c1: int, c2: int, k: Sizes = (5, 9, 13)) -> None:
        super().__init__()
        hidden = c1 // 2
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(hidden * (len(k) + 1), c2, 1, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(n, 1, n // 2) for n in k)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H, W]."""
        x = self.cv1(x)
        return self.cv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))


class SPPF(nn.Module):
    """SPP with one pool applied three times: the same receptive fields for fewer comparisons."""

    def __init__(self, c1: int, c2: int, k: int = 5) -> None:
        super().__init__()
        hidden = c1 // 2
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(hidden * 4, c2, 1, 1)
        self.m = nn.MaxPool2d(kernel_size=k, stride=1, padding=k // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H, W]."""
        maps = [self.cv1(x)]
        for _ in range(3):
            maps.append(self.m(maps[-1]))
        return self.cv2(torch.cat(maps, 1))


class Focus(nn.Module):
    """Space to depth by 2, then a Conv."""

    def __init__(
        self, c1: int, c2: int, k: int = 1, s: int = 1, p: int | None = None, g: int = 1, act: Act = True
    ) -> None:
        super().__init__()
        self.conv = Conv(c1 * 4, c2, k, s, p, g, act=act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H/2, W/2]."""
        cells = x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]
        return self.conv(torch.cat(cells, 1))


class GhostConv(nn.Module):
    """Half of the outputs by a Conv, the other half by a cheap depth-wise 5×5 on those (Han et al. 2020)."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, g: int = 1, act: Act = True) -> None:
        super().__init__()
        hidden = c2 // 2
        self.cv1 = Conv(c1, hidden, k, s, None, g, act=act)
        self.cv2 = Conv(hidden, hidden, 5, 1, None, hidden, act=act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H/s, W/s]."""
        y = self.cv1(x)
        return torch.cat((y, self.cv2(y)), 1)


class GhostBottleneck(nn.Module):
    """Two GhostConvs around an optional strided depth-wise Conv, with a shortcut (Han et al. 2020)."""

    def __init__(self, c1: int, c2: int, k: int = 3, s: int = 1) -> None:
        super().__init__()
        hidden, strided = c2 // 2, s == 2
        self.conv = nn.Sequential(
            GhostConv(c1, hidden, 1, 1),
            DWConv(hidden, hidden, k, s, act=False) if strided else nn.Identity(),
            GhostConv(hidden, c2, 1, 1, act=False),
        )
        self.shortcut = (
            nn.Sequential(DWConv(c1, c1, k, s, act=False), Conv(c1, c2, 1, 1, act=False)) if strided else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, c1, H, W] to [B, c2, H/s, W/s]."""
        return self.conv(x) + self.shortcut(x)


class Contract(nn.Module):
    """Space to depth: [B, C, H, W] to [B, C·g², H/g, W/g]."""

    def __init__(self, gain: int = 2) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Move each g×g cell into the channels."""
        (b, c, h, w), g = x.shape, self.gain
        cells = x.view(b, c, h // g, g, w // g, g).permute(0, 3, 5, 1, 2, 4)
        return cells.reshape(b, c * g * g, h // g, w // g)


class Expand(nn.Module):
    """Depth to space: [B, C, H, W] to [B, C/g², H·g, W·g]."""

    def __init__(self, gain: int = 2) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Move each group of g² channels into a g×g cell."""
        (b, c, h, w), g = x.shape, self.gain
        cells = x.view(b, g, g, c // g**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return cells.reshape(b, c // g**2, h * g, w * g)


class Concat(nn.Module):
    """Join feature maps along one dimension."""

    def __init__(self, dimension: int = 1) -> None:
        super().__init__()
        self.d = dimension

    def forward(self, x: list[torch.Tensor]) -> torch.Tensor:
        """Join a list of [B, C_i, H, W] to [B, sum C_i, H, W] (for dimension 1)."""
        return torch.cat(x, self.d)
