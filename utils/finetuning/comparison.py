"""The photos that a fine-tuned network gets wrong and its teacher does not."""

from utils.data.choice import match_classes
from utils.data.config import label_rules, load_data
from utils.files.checkpoint import load_checkpoint
from utils.files.downloads import find_weights
from utils.finetuning.options import FinetuneOptions
from utils.training.checkpoints import weights_to_use
from utils.training.loaders import worker_count
from utils.training.loop import Hook
from utils.training.run import Run
from utils.validation.worst import WORST, Worst, compare_networks, worst_lines


class WorstPhotos(Hook):
    """Shows at the end of a run what the teacher sees on the val photos and the weights to use do not."""

    def __init__(self, options: FinetuneOptions) -> None:
        """options: with a teacher."""
        self.options = options

    def closing_lines(self, run: Run) -> list[str]:
        """Write worst.jpg into the folder of the run; return lines about it."""
        return worst_lines(run.folder.path / WORST, lambda: self.compare(run))

    def compare(self, run: Run) -> Worst:
        """Return the Worst photos. Raises InputError when the teacher knows other classes, or nothing can be read."""
        options, file = self.options, weights_to_use(run)
        teacher, student = (load_checkpoint(each).network for each in (find_weights(options.teacher), file))
        config = load_data(options.data, label_rules(options))
        return compare_networks(
            teacher,
            student,
            match_classes(config, student.names, say=lambda line: None),
            device=run.device,
            imgsz=run.settings.imgsz,
            workers=worker_count(options, run.processes),
            single_cls=options.single_cls,
            roles=("teacher", "cut"),
        )
