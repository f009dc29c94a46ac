"""Train a pruned detector further, so that it recovers what the cut cost; with --teacher, under the unpruned one."""

from utils.finetuning import FinetuneOptions, finetune
from utils.options import run

if __name__ == "__main__":
    run(FinetuneOptions, finetune, __doc__)
