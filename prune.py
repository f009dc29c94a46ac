"""Cut the channels that matter least out of a trained detector and write it as a plain, narrower checkpoint."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.pruning.options:PruneOptions", "utils.pruning.prune:prune_checkpoint", __doc__)
