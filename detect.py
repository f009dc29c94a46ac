"""Detect objects in images and videos."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.detection.options:DetectOptions", "utils.detection.detect:detect", __doc__)
