"""Train a detector while the batch norm weights (gammas) of channels that can go are driven to zero."""

from utils.options import run
from utils.pruning.sparsity import SparsityOptions, sparsity_hooks, verdict
from utils.resuming import resolve
from utils.training import train


def main(options):
    """Train as the SparsityOptions say, and say what may be cut."""
    options = resolve(options)
    result = train(options, hooks=sparsity_hooks(options))
    if options.st and result.team.main:
        print(verdict(result.ema.model, result.folder.last, options.goal()))


if __name__ == "__main__":
    run(SparsityOptions, main, __doc__)
