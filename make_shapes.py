"""Draw the built-in data set: coloured shapes with YOLO labels and COCO json."""

from dataclasses import dataclass

from utils.cli.options import option, run
from utils.data.shapes import draw_shapes


@dataclass
class ShapesOptions:
    """Options of make_shapes.py."""

    out: str = option("datasets/shapes", "folder to draw into; data/shapes.yaml looks there")
    train: int = option(400, "training images", minimum=1)
    val: int = option(100, "validation images", minimum=1)
    imgsz: int = option(160, "side of the images in pixels", "--img", minimum=32)
    seed: int = option(0, "start of all random numbers", minimum=0)


def main(options: ShapesOptions) -> None:
    """Draw and say where."""
    data = draw_shapes(options.out, options.train, options.val, options.imgsz, options.seed)
    print(f"{options.train} training and {options.val} validation images; use them with --data {data}")


if __name__ == "__main__":
    run(ShapesOptions, main, __doc__)
