"""Measure a detector on a data set: precision, recall, mAP50, mAP50-95 and speed."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.validation.options:ValidationOptions", "utils.validation.val:validate_checkpoint", __doc__)
