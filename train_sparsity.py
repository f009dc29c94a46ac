"""Train a detector while the batch norm weights (gammas) of channels that can go are driven to zero."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.sparsity.options:SparsityOptions", "utils.sparsity.train_sparsity:train_sparsity", __doc__)
