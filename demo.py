"""Show the whole loop on drawn images: train, sparse-train, prune, fine-tune, compare. No download, no GPU."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.demo.options:DemoOptions", "utils.demo.demo:run_demo", __doc__)
