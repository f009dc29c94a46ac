"""Measure a detector on a data set: precision, recall, mAP50, mAP50-95 and speed."""

from utils.cli.options import run
from utils.validation.val import ValidationOptions, validate_checkpoint

if __name__ == "__main__":
    run(ValidationOptions, validate_checkpoint, __doc__)
