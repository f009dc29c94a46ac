"""Cut the channels that matter least out of a trained detector and write it as a plain, narrower checkpoint."""

from utils.cli.options import run
from utils.pruning.options import PruneOptions
from utils.pruning.prune import prune_checkpoint

if __name__ == "__main__":
    run(PruneOptions, prune_checkpoint, __doc__)
