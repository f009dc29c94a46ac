"""Make a detector as small as it can be: sparse training, cut, fine-tuning, and again until a rule ends it."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.slimming.options:SlimOptions", "utils.slimming.sweep:slim_or_sweep", __doc__)
