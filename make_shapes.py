"""Draw the built-in data set: coloured shapes with YOLO labels and COCO json."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.demo.options:ShapesOptions", "utils.demo.shapes:make_shapes", __doc__)
