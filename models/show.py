"""What a model yaml builds: the table of its layers, sizes, and on request times. `python models/yolo.py --help`."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

from models.cost import count_gflops, count_parameters
from models.errors import SpecError
from models.spec import layer_arguments, parse_spec, read_yaml
from models.yolo import DetectionModel

FOLDER = Path(__file__).resolve().parent
RUNS = 3  # timed passes after one to warm up
SIDE = 640  # px of the images that times and GFLOPs are for


def find_yaml(name: str | Path) -> Path:
    """Return the path of a model yaml, given by path or by its name in models/ or models/hub/. Raises SpecError."""
    given = Path(name)
    for place in (given, FOLDER / given, FOLDER / "hub" / given, FOLDER.parent / given):
        if place.is_file():
            return place
    raise SpecError(f"--cfg {name}: no such model yaml here, in models or in models/hub")


def layer_table(cfg: Path, model: DetectionModel) -> str:
    """Return the table of a DetectionModel's layers: index, from, number, parameters, module, arguments.

    cfg: path of the yaml that the model was built from.
    """
    spec = parse_spec(read_yaml(cfg), cfg.name)
    rows: list[tuple[Any, ...]] = [("", "from", "n", "params", "module", "arguments")]
    widths: list[Any] = []
    for layer, row in zip(model.model, spec.rows, strict=True):
        sources = [row.source] if isinstance(row.source, int) else row.source
        args, _, width = layer_arguments(spec, row, [widths[s] if widths else model.yaml["ch"] for s in sources])
        widths.append(width)
        rows.append((layer.i, layer.f, spec.repeats(row), layer.np, layer.type, as_written(args)))
    return "\n".join(f"{i!s:>3}{f!s:>18}{n!s:>3}{np!s:>10}  {kind:<40}{args!s}" for i, f, n, np, kind, args in rows)


def as_written(value: Any) -> Any:
    """Return arguments as a yaml has them: lists, and numbers without .0."""
    if isinstance(value, (list, tuple)):
        return [as_written(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def summary(name: str, model: DetectionModel) -> str:
    """Return a line with the numbers of modules, parameters, gradients, and billions of operations at SIDE pixels."""
    layers, parameters = len(list(model.modules())), count_parameters(model)
    gradients = sum(p.numel() for p in model.parameters() if p.requires_grad)
    gflops = count_gflops(model, SIDE, model.yaml["ch"])
    return f"{name} summary: {layers} layers, {parameters} parameters, {gradients} gradients, {gflops:.1f} GFLOPs"


def pass_times(
    model: DetectionModel, images: torch.Tensor, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the mean milliseconds (forward, backward) of a training pass over images [B, C, H, W]."""
    model.train()
    seconds = [0.0, 0.0]
    for number in range(RUNS + 1):
        start = clock()
        total = sum(scale.sum() for scale in model(images))
        wait_for(images)
        middle = clock()
        total.backward()
        wait_for(images)
        if number:  # the first warms up
            seconds[0] += middle - start
            seconds[1] += clock() - middle
    return [1000 * s / RUNS for s in seconds]


def wait_for(tensor: torch.Tensor) -> None:
    """Wait until a CUDA device has done its work."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def layer_times(
    model: DetectionModel, images: torch.Tensor, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the mean milliseconds that each layer takes for images [B, C, H, W], without gradients."""
    seconds = [0.0] * len(model.model)
    started: dict[Any, float] = {}

    def before(layer: Any, _: Any) -> None:
        """Start the clock of a layer."""
        wait_for(images)
        started[layer] = clock()

    def after(layer: Any, *_: Any) -> None:
        """Add what a layer took."""
        wait_for(images)
        seconds[layer.i] += clock() - started[layer]

    handles = [
        h
        for layer in model.model
        for h in (layer.register_forward_pre_hook(before), layer.register_forward_hook(after))
    ]
    model.eval()
    with torch.no_grad():
        model(images)
        seconds[:] = [0.0] * len(seconds)
        for _ in range(RUNS):
            model(images)
    for handle in handles:
        handle.remove()
    return [1000 * s / RUNS for s in seconds]


def show(options: argparse.Namespace) -> None:
    """Print what the options ask for. Raises SpecError."""
    if options.test:
        for file in sorted(FOLDER.rglob("*.yaml")):
            print(summary(file.stem, DetectionModel(file)))
        return
    device = choose_device(options.device)
    cfg = find_yaml(options.cfg)
    model = DetectionModel(cfg).to(device)
    images = torch.rand(options.batch_size, model.yaml["ch"], SIDE, SIDE, device=device)
    print(layer_table(cfg, model))
    print(summary(cfg.stem, model))
    if options.line_profile:
        times = layer_times(model, images)
        print(f"{'ms':>10}  layer, {len(images)} images of {SIDE} px on {device}")
        for layer, milliseconds in zip(model.model, times):
            print(f"{milliseconds:10.2f}  {layer.i} {layer.type}")
        print(f"{sum(times):10.2f}  total")
    elif options.profile:
        forward, backward = pass_times(model, images)
        print(f"{forward:.1f} ms forward, {backward:.1f} ms backward, {len(images)} images of {SIDE} px on {device}")
    else:
        print(summary(f"{cfg.stem} with folded batch norms", model.eval().requires_grad_(False).fuse()))


def choose_device(name: str) -> torch.device:
    """Return the torch device for "", cpu or a GPU's number. Raises SpecError."""
    gpus = torch.cuda.device_count()
    if name in ("", "cpu"):
        return torch.device("cuda:0" if not name and gpus else "cpu")
    if not name.isdigit() or int(name) >= gpus:
        raise SpecError(f"--device {name}: must be cpu or a GPU's number; there are {gpus} GPUs")
    return torch.device(f"cuda:{name}")


class ShowParser(argparse.ArgumentParser):
    """An argparse parser whose errors are the one line that every other wrong input gives."""

    def error(self, message: str) -> NoReturn:
        """Raise SpecError."""
        raise SpecError(f"{message}; --help lists the flags")


def main() -> None:
    """Read the command line; wrong input ends with one line and code 2."""
    parser = ShowParser(prog="yolo.py", description="Print the layers and sizes of a model yaml.")
    parser.add_argument("--cfg", default="yolov5s.yaml", help="model yaml, by path or by name in models/, models/hub/")
    parser.add_argument("--batch-size", type=int, default=1, help="images in a timed pass")
    parser.add_argument("--device", default="", help="cpu, or the number of a GPU; empty: a GPU if there is one")
    parser.add_argument("--profile", action="store_true", help="time a forward and a backward pass")
    parser.add_argument("--line-profile", action="store_true", help="time each layer")
    parser.add_argument("--test", action="store_true", help="build every yaml in models/ and say its size")
    try:
        options = parser.parse_args()
        if options.batch_size < 1:
            raise SpecError(f"--batch-size {options.batch_size}: must be at least 1")
        show(options)
    except SpecError as error:
        print(f"yolo.py: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
