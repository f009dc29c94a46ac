"""Train a detector while the batch norm weights (gammas) of channels that can go are driven to zero."""

from functools import partial

from utils.cli.options import run
from utils.sparsity.train_sparsity import SparsityOptions, preamble, sparsity_hooks, verdict
from utils.training.distributed import process_group
from utils.training.resume import resolve
from utils.training.train import train


def main(options: SparsityOptions) -> None:
    """Train as the SparsityOptions say, and say what may be cut."""
    options = resolve(options)
    options.check()
    say = partial(print, flush=True) if process_group().main else None
    hooks = sparsity_hooks(options, say)
    for line in preamble(options) if say else ():
        say(line)
    result = train(options, hooks=hooks)
    if hooks and result.processes.main:
        print(verdict(result, hooks, options.data))


if __name__ == "__main__":
    run(SparsityOptions, main, __doc__)
