"""Detect objects in images and videos."""

from utils.cli.options import run
from utils.detection.detect import DetectOptions, detect

if __name__ == "__main__":
    run(DetectOptions, detect, __doc__)
