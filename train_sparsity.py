"""Train a detector while the batch norm weights (gammas) of channels that can go are driven to zero."""

from utils.cli.options import run
from utils.sparsity.train_sparsity import SparsityOptions, train_sparsity

if __name__ == "__main__":
    run(SparsityOptions, train_sparsity, __doc__)
