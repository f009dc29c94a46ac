"""The detection network: rows of a model yaml become layers, the last of them Detect.

Each layer carries its index `i`, where its input comes from `f`, its `type` and its parameter count `np`, as the public
YOLOv5 expects of a checkpoint. Channel counts are nowhere remembered: a network runs with whatever widths its tensors
have.

As a script, `python models/yolo.py --cfg yolov5n.yaml`, it prints the layers of a model yaml: see models.show.
"""

import math
import runpy
import sys
from copy import deepcopy
from pathlib import Path

if __name__ == "__main__":  # up here, because Python looks for modules beside a script, where `models` is not
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    runpy.run_module("models.show", run_name="__main__")
    sys.exit()

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from models import common, limits
from models.augmented import predict_augmented
from models.cost import output_cells
from models.errors import SpecError
from models.spec import LAYERS, Row, Spec, layer_arguments, make_activation, parse_spec, read_yaml

COARSEST = 32  # px; every public backbone goes down to this, even where Detect stops before


class Detect(nn.Module):
    """One 1×1 convolution per scale, and the decoding of its outputs to boxes."""

    dynamic = False
    export = False
    anchors: torch.Tensor  # [nl, na, 2] w, h in cells
    stride: torch.Tensor  # [nl] pixels a cell; measured by the network
    i: int  # place of the layer in its network
    f: list[int]  # layers that it reads

    def __init__(
        self, nc: int = 80, anchors: Sequence[Sequence[float]] = (), ch: Sequence[int] = (), inplace: bool = True
    ) -> None:
        """Make room for `nc` classes. anchors: per scale w, h, w, h, … in pixels; ch: input channels per scale."""
        super().__init__()
        self.nc = nc
        self.no = nc + 5
        self.nl = len(anchors)
        self.na = len(anchors[0]) // 2
        self.grid = [torch.empty(0, device="cpu") for _ in range(self.nl)]
        self.anchor_grid = [torch.empty(0, device="cpu") for _ in range(self.nl)]
        # On the CPU even when the weights are being built without storage: the values matter.
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float, device="cpu").view(self.nl, -1, 2))
        self.m = nn.ModuleList(nn.Conv2d(c, self.no * self.na, 1) for c in ch)
        self.inplace = inplace
        self.stride = None  # type: ignore[assignment]  # until it is measured

    def forward(self, x: list[torch.Tensor]) -> Any:
        """x: list of nl maps [B, C_i, ny, nx].

        Training: list of raw [B, na, ny, nx, nc+5]. Otherwise (predictions [B, N, nc+5], that list); a prediction is
        cx, cy, w, h in pixels, objectness and class probabilities.
        """
        raw = []
        for i, conv in enumerate(self.m):
            y = conv(x[i])
            b, _, ny, nx = y.shape
            raw.append(y.view(b, self.na, self.no, ny, nx).permute(0, 1, 3, 4, 2).contiguous())
        if self.training:
            return raw
        predictions = torch.cat([self.decode(y, i) for i, y in enumerate(raw)], 1)
        return (predictions,) if self.export else (predictions, raw)

    def decode(self, y: torch.Tensor, i: int) -> torch.Tensor:
        """Return the predictions [B, na·ny·nx, nc+5] of scale i from its raw outputs [B, na, ny, nx, nc+5]."""
        b, _, ny, nx, _ = y.shape
        if self.dynamic or self.grid[i].shape[2:4] != y.shape[2:4] or self.grid[i].device != y.device:
            self.grid[i], self.anchor_grid[i] = self.make_grid(nx, ny, i, y)
        xy, wh, scores = y.sigmoid().split((2, 2, self.nc + 1), 4)
        xy = (xy * 2 + self.grid[i]) * self.stride[i]
        wh = (wh * 2) ** 2 * self.anchor_grid[i]
        return torch.cat((xy, wh, scores), 4).view(b, self.na * nx * ny, self.no)

    def make_grid(self, nx: int, ny: int, i: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cell corners minus a half [1, na, ny, nx, 2] and anchors in pixels [1, na, ny, nx, 2] for scale i."""
        shape = 1, self.na, ny, nx, 2
        y, x = torch.arange(ny).to(like), torch.arange(nx).to(like)
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], 2).expand(shape) - 0.5
        anchors = (self.anchors[i] * self.stride[i]).to(like).view(1, self.na, 1, 1, 2).expand(shape)
        return grid, anchors

    def initialize_biases(self) -> None:
        """Start objectness at about 8 objects an image of 640 px and classes at 0.6 / nc (Lin et al. 2017, §3.3)."""
        with torch.no_grad():
            for conv, stride in zip(self.m, self.stride.tolist()):
                bias = conv.get_parameter("bias").view(self.na, -1)
                bias[:, 4] += math.log(8 / (640 / stride) ** 2)
                bias[:, 5:] += math.log(0.6 / (self.nc - 0.99999))


class DetectionModel(nn.Module):
    """A YOLOv5-type detector built from a model yaml."""

    model: Any  # nn.Sequential; its layers carry attributes that the types of PyTorch do not know
    stride: torch.Tensor  # [nl] or [nl + 1] pixels, see with_coarsest

    def __init__(
        self, cfg: str | Path | dict[str, Any] = "yolov5s.yaml", ch: int = 3, nc: int | None = None, anchors: Any = None
    ) -> None:
        """cfg: path or mapping; ch: image channels; nc and anchors override those of cfg. Raises SpecError."""
        super().__init__()
        self.yaml = deepcopy(cfg) if isinstance(cfg, dict) else read_yaml(cfg)
        if not isinstance(cfg, dict):
            self.yaml_file = Path(cfg).name
        ch = self.yaml["ch"] = self.yaml.get("ch", ch)
        if nc is not None:
            self.yaml["nc"] = nc
        if anchors is not None:
            self.yaml["anchors"] = anchors
        spec = parse_spec(self.yaml, self.origin)
        self.nc = spec.nc
        check_parameters(spec, ch)
        self.model, self.save = build_layers(spec, ch)
        self.names = {i: f"class{i}" for i in range(self.nc)}
        self.inplace = self.yaml.get("inplace", True)
        detect = self.model[-1]
        detect.inplace = self.inplace
        if next(self.parameters()).is_meta:  # shapes only, for whoever brings values and strides
            return
        self.set_strides()
        order_anchors(detect)
        detect.anchors /= detect.stride.view(-1, 1, 1)
        detect.initialize_biases()

    def set_strides(self) -> None:
        """Measure the strides of the scales and of the whole network.

        Raises SpecError when two layers do not fit each other.
        """
        self.model[-1].stride, coarsest = self.measure_strides(self.yaml["ch"])
        self.stride = with_coarsest(self.model[-1].stride, coarsest)

    @property
    def origin(self) -> str:
        """What messages call the description of the network."""
        return getattr(self, "yaml_file", "model yaml")

    @property
    def size_multiple(self) -> int:
        """What the sides of images must be multiples of, in pixels: the largest stride anywhere in the network."""
        return max(int(self.stride.max()), COARSEST)

    def fitting_size(self, size: int) -> int:
        """Return an image side in pixels rounded up to what the network takes."""
        return -(-size // self.size_multiple) * self.size_multiple

    def forward(self, x: torch.Tensor, augment: bool = False) -> Any:
        """x: images [B, 3, H, W] in 0–1, sides multiples of `size_multiple`. Returns what Detect returns.

        augment: test-time augmentation at three scales; returns (predictions, None). For evaluation only.
        """
        if augment:
            return predict_augmented(
                lambda image: self.run_layers(image)[0], x, self.size_multiple, self.model[-1].nl
            ), None
        return self.run_layers(x)

    def run_layers(self, x: Any) -> Any:
        """Return the output of the last layer on images x, run once. The method that channel tracing follows."""
        kept: list[Any] = []
        for layer in self.model:
            if layer.f != -1:
                x = kept[layer.f] if isinstance(layer.f, int) else [x if j == -1 else kept[j] for j in layer.f]
            x = layer(x)
            kept.append(x if layer.i in self.save else None)
        return x

    def measure_strides(self, ch: int, size: int = 256) -> tuple[torch.Tensor, float]:
        """Return (stride of each scale [nl], largest stride of any layer), measured on an empty image.

        Statistics stay untouched. Raises SpecError that names the layer whose inputs do not fit it.
        """
        detect, training = self.model[-1], self.training
        reached: dict[str, Any] = {}
        sides: list[int] = []

        def arrive(layer: nn.Module, args: Any) -> None:
            """Note the layer that runs and the sides of its inputs."""
            reached.update(layer=layer, args=args)
            sides.extend(x.shape[-2] for x in (args[0] if isinstance(args[0], list) else args))

        def enlarge(module: nn.Module, args: Any) -> None:
            """Refuse a map that is too large, before it is made."""
            cells = output_cells(module, args)
            if cells > limits.CELLS:
                raise ValueError(f"a map of {cells:,.0f} values; an image of {size} px gives at most {limits.CELLS:,}")

        handles = [layer.register_forward_pre_hook(arrive) for layer in self.model]
        handles += [module.register_forward_pre_hook(enlarge) for module in self.modules()]
        device = next(self.parameters()).device
        self.eval()
        detect.train()  # raw outputs: decoding needs the strides that are being measured
        try:
            with torch.no_grad():
                self.run_layers(torch.zeros(1, ch, size, size, device=device))
        except (RuntimeError, TypeError, ValueError, IndexError, ArithmeticError) as error:
            place = f"layer {reached['layer'].i} ({reached['layer'].type})"
            raise SpecError(f"{self.origin}: {place}: its inputs do not fit: {str(error).splitlines()[0]}") from None
        finally:
            for handle in handles:
                handle.remove()
        self.train(training)
        return torch.tensor([size / x.shape[-2] for x in reached["args"][0]], device="cpu"), size / min(sides)

    def change_activation(self, text: str) -> None:
        """Give every Conv that has the network's usual activation another one, such as "nn.ReLU()", in place.

        Raises SpecError when it is unknown.
        """
        usual = self.yaml.get("activation") or self.yaml.get("act")
        set_activation(self.model, text, type(make_activation(usual)) if usual else nn.SiLU)
        self.yaml["activation"] = text if text.endswith(")") else f"{text}()"  # the public code evaluates it

    def fuse(self) -> "DetectionModel":
        """Fold every batch norm after a convolution in a Conv block into that convolution, in place; return self."""
        for module in self.modules():
            if isinstance(module, common.Conv) and "bn" in module._modules:
                module.conv = nn.utils.fuse_conv_bn_eval(module.conv.eval(), module.bn.eval())
                del module.bn
        return self


def check_parameters(spec: Spec, ch: int) -> None:
    """Raise SpecError when the network of a Spec would be larger than any detector; nothing is allocated."""
    with torch.device("meta"):
        layers, _ = build_layers(spec, ch)
    count = sum(parameter.numel() for parameter in layers.parameters())
    if count > limits.PARAMETERS:
        raise SpecError(f"{spec.origin}: {count:,} parameters; must be at most {limits.PARAMETERS:,}")


def build_layers(spec: Spec, ch: int) -> tuple[nn.Sequential, list[int]]:
    """Return (Sequential of the layers of a Spec, sorted list of the layer indices that later layers read)."""
    layers: list[nn.Module] = []
    save: set[int] = set()
    widths: list[Any] = []
    for i, row in enumerate(spec.rows):
        sources = [row.source] if isinstance(row.source, int) else list(row.source)
        inputs = [widths[s] if widths else ch for s in sources]
        try:
            layer, width = build_layer(spec, row, inputs)
        except Exception as error:  # noqa: BLE001 of the constructors, over args that may be anything
            raise SpecError(
                f"{spec.origin}: layer {i} ({row.name}): args {list(row.args)} do not fit: {error}"
            ) from None
        layer.i, layer.f = i, list(sources) if isinstance(row.source, tuple) else row.source
        kind = LAYERS.get(row.name, Detect)
        layer.type = f"{kind.__module__}.{kind.__name__}"
        layer.np = sum(p.numel() for p in layer.parameters())
        save.update(s % i for s in sources if s != -1)
        layers.append(layer)
        widths.append(width)
    if spec.activation:
        set_activation(layers, spec.activation)
    return nn.Sequential(*layers), sorted(save)


def build_layer(spec: Spec, row: Row, inputs: list[int]) -> tuple[Any, Any]:
    """Return (module, output channels) of one row whose sources have the channel counts `inputs`."""
    args, repeats, width = layer_arguments(spec, row, inputs)
    modules = [LAYERS.get(row.name, Detect)(*args) for _ in range(repeats)]
    return (modules[0] if repeats == 1 else nn.Sequential(*modules)), width


def set_activation(layers: Iterable[nn.Module], text: str, replaced: type[nn.Module] = nn.SiLU) -> None:
    """Replace the activations of one class in every Conv of `layers`, the default one unless said, by a yaml's."""
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, common.Conv) and isinstance(module.act, replaced):
                module.act = make_activation(text)


def with_coarsest(strides: torch.Tensor, coarsest: float) -> torch.Tensor:
    """Return the strides of a model: of its scales, and of its coarsest layer where images must be multiples of it.

    Only their maximum counts outside Detect. It is that of a layer when the scale that needed the layer was removed.
    """
    if coarsest <= max(float(strides.max()), COARSEST):
        return strides
    return torch.cat((strides, strides.new_tensor([coarsest])))


def order_anchors(detect: Detect) -> None:
    """Reverse the anchors (in pixels) when they are listed from coarse to fine while strides grow, or the other way."""
    areas = detect.anchors.prod(-1).mean(-1)
    if (areas[-1] - areas[0]) * (detect.stride[-1] - detect.stride[0]) < 0:
        detect.anchors[:] = detect.anchors.flip(0)
