"""Fine-tuning: training that keeps the network as it was cut, with a teacher if there is one."""

from collections.abc import Callable

from utils.finetuning.beginning import Beginning
from utils.finetuning.comparison import Outlook, WorstPhotos
from utils.finetuning.options import FinetuneOptions
from utils.teaching.distillation import Distillation
from utils.teaching.hooks import teaching_hooks
from utils.training.loop import Hook
from utils.training.run import Run
from utils.training.train import train


def finetune(options: FinetuneOptions) -> Run:
    """Train a detector, its widths as they are, as FinetuneOptions say; return the Run.

    A network that was cut to some of the classes keeps them; for other classes Detect starts anew.

    Raises what train raises.
    """
    return train(options, make_hooks=finetuning_hooks, keep_classes=True)


def finetuning_hooks(options: FinetuneOptions, say: Callable[[str], None]) -> list[Hook]:
    """Return the hooks of finetune_pruned.py: those of teaching_hooks, and what compares with start and teacher."""
    hooks = teaching_hooks(options, say)
    taught = next((hook for hook in hooks if isinstance(hook, Distillation)), None)
    compared = [WorstPhotos(options, taught.file)] if taught and not options.noplots else []
    first = [] if options.noval else [Beginning()]
    return [*hooks, *first, Outlook(taught.teacher if taught else None), *compared]
