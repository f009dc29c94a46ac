"""Detect objects in images and videos."""

from utils.detection import DetectOptions, detect
from utils.options import run

if __name__ == "__main__":
    run(DetectOptions, detect, __doc__)
