"""Train a pruned detector further, so that it recovers what the cut has cost."""

from functools import partial

from utils.options import run
from utils.training import TrainOptions, train

if __name__ == "__main__":
    run(TrainOptions, partial(train, transfer=False), __doc__)
