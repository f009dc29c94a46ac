"""Train a pruned detector further, so that it recovers what the cut cost; with --teacher, under the unpruned one."""

from utils.cli.options import run
from utils.finetuning.finetune import FinetuneOptions, finetune

if __name__ == "__main__":
    run(FinetuneOptions, finetune, __doc__)
