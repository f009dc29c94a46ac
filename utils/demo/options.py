"""The flags of demo.py and make_shapes.py."""

from dataclasses import dataclass

from utils.cli.options import option


@dataclass
class DemoOptions:
    """Options of demo.py."""

    out: str = option("runs/demo", "folder of the results; an earlier one is kept under another name")
    cfg: str = option("yolov5n.yaml", "network, by path or by name in models/")
    epochs: list[int] = option([38, 12, 12], "epochs of training, sparse training and fine-tuning", nargs=3, minimum=1)
    percent: float = option(0.5, "share of the channels to prune", minimum=0, below=1)
    images: list[int] = option([400, 100], "training and validation images to draw", nargs=2, minimum=1)
    imgsz: int = option(160, "side of the images in pixels", "--img", minimum=64)
    batch_size: int = option(16, "images in a batch", "--batch", minimum=1)
    workers: int = option(0, "processes that load images; for images this small 0 is fastest", minimum=0)
    rounds: int = option(100, "repetitions of the time measurement", minimum=1)
    seed: int = option(0, "start of all random numbers", minimum=0)


@dataclass
class ShapesOptions:
    """Options of make_shapes.py."""

    out: str = option("datasets/shapes", "folder to draw into; data/shapes.yaml looks there")
    train: int = option(400, "training images", minimum=1)
    val: int = option(100, "validation images", minimum=1)
    imgsz: int = option(160, "side of the images in pixels", "--img", minimum=32)
    seed: int = option(0, "start of all random numbers", minimum=0)
    hard: bool = option(False, "more and smaller shapes that stand out less")
