"""Train a detector while the batch norm weights (gammas) of channels that can go are driven to zero."""

from utils.options import run
from utils.pruning.sparsity import SparsityOptions, sparsity_hooks
from utils.resuming import resolve
from utils.training import train


def main(options):
    """Train as the SparsityOptions say."""
    options = resolve(options)
    train(options, hooks=sparsity_hooks(options))


if __name__ == "__main__":
    run(SparsityOptions, main, __doc__)
