"""The built-in data set on disk: what make_shapes.py does."""

from utils.data.shapes import draw_shapes
from utils.demo.options import ShapesOptions


def make_shapes(options: ShapesOptions) -> None:
    """Draw and say where."""
    data = draw_shapes(options.out, options.train, options.val, options.imgsz, options.seed, options.hard)
    print(f"{options.train} training and {options.val} validation images; use them with --data {data}")
