"""A network of twice the width that computes what a checkpoint computes, to train a larger detector from a smaller one.

    python benchmarks/doubled.py --weights yolov5n.pt --out yolov5s-from-n.pt

Every channel becomes two equal ones, and whoever reads it splits its weight between the two by chance, so that they
learn different things (Net2WiderNet of Chen, Goodfellow and Shlens, "Net2Net", 2016). YOLOv5n becomes a YOLOv5s.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch  # noqa: E402  (the path comes first)

from models.yolo import DetectionModel  # noqa: E402
from utils.cli.options import option  # noqa: E402
from utils.cli.start import run  # noqa: E402
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint  # noqa: E402
from utils.files.downloads import find_weights  # noqa: E402

LARGEST_SHARE = 0.75  # of a weight that one of the two channels gets; the other gets the rest


@dataclass
class DoubledOptions:
    """Options of this script."""

    weights: str = option("yolov5n.pt", "checkpoint of the smaller network, not pruned")
    out: str = option("doubled.pt", "file to write")
    seed: int = option(0, "start of the random numbers", minimum=0)


def doubled(model, generator):
    """Return a DetectionModel of twice the width that computes what `model` does."""
    wider = DetectionModel(model.yaml | {"width_multiple": 2 * model.yaml["width_multiple"]}).eval()
    wider.names = dict(model.names)
    values = model.state_dict()
    wider.load_state_dict({name: stretched(values[name], like, generator) for name, like in wider.state_dict().items()})
    return wider


def stretched(values, like, generator):
    """Return a tensor with its outputs (axis 0) and inputs (axis 1) doubled where `like` has twice as many."""
    if values.dim() and like.shape[0] == 2 * values.shape[0]:
        values = values.repeat_interleave(2, 0)
    if values.dim() > 1 and like.shape[1] == 2 * values.shape[1]:
        spread = 2 * LARGEST_SHARE - 1
        first = 0.5 + spread * (torch.rand(values.shape[:2], generator=generator) - 0.5)
        shares = torch.stack((first, 1 - first), 2).flatten(1)
        values = values.repeat_interleave(2, 1) * shares[:, :, None, None]
    return values


def main(options):
    """Write the wider network and say how far its outputs are from those of the checkpoint."""
    generator = torch.Generator().manual_seed(options.seed)
    model = load_checkpoint(find_weights(options.weights)).model
    wider = doubled(model, generator)
    image = torch.rand(1, 3, 320, 320, generator=generator)
    with torch.no_grad():
        far = (wider(image)[0] - model(image)[0]).abs().max()
    save_checkpoint(options.out, finished_content(wider))
    print(f"{options.out}: outputs differ by at most {far:.1g}")


if __name__ == "__main__":
    run(DoubledOptions, main, __doc__)
