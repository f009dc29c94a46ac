"""Train a pruned detector further, so that it recovers what the cut cost; with --teacher, under the unpruned one."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.finetuning.options:FinetuneOptions", "utils.finetuning.finetune:finetune", __doc__)
