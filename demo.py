"""Show the whole loop on drawn images: train, sparse-train, prune, fine-tune, compare. No download, no GPU."""

from utils.cli.options import run
from utils.demo.demo import DemoOptions, run_demo

if __name__ == "__main__":
    run(DemoOptions, run_demo, __doc__)
