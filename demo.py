"""Show the whole loop on drawn images: train, sparse-train, prune, fine-tune, compare. No download, no GPU."""

from utils.demo import DemoOptions, run_demo
from utils.options import run

if __name__ == "__main__":
    run(DemoOptions, run_demo, __doc__)
