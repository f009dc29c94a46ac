"""Make a detector as small as it can be: sparse training, cut, fine-tuning, and again until a rule ends it."""

import sys

from utils.cli.options import run
from utils.slimming.config import with_config
from utils.slimming.options import SlimOptions
from utils.slimming.slim import slim
from utils.slimming.sweep import sweep


def main(options: SlimOptions) -> None:
    """Slim as the SlimOptions and their config file say."""
    options = with_config(options, sys.argv[1:])
    if options.sweep:
        sweep(options)
    else:
        slim(options)


if __name__ == "__main__":
    run(SlimOptions, main, __doc__)
