"""A run beside its teacher: what to expect at its start, at its end the photos that only the teacher gets right."""

from pathlib import Path

from models.cost import count_gflops
from models.yolo import DetectionModel
from utils.data.choice import match_classes
from utils.data.config import label_rules, load_data
from utils.data.samples import Samples
from utils.files.checkpoint import load_checkpoint
from utils.finetuning.options import FinetuneOptions
from utils.sparsity.expectation import outlook
from utils.training.checkpoints import weights_to_use
from utils.training.loaders import worker_count
from utils.training.loop import Hook
from utils.training.run import Run
from utils.validation.worst import WORST, Worst, compare_networks, worst_lines


class Outlook(Hook):
    """Says at the start of a run what is to be expected of it."""

    def __init__(self, teacher: DetectionModel | None) -> None:
        """teacher: what the share of the FLOPs that is left is one of; None: it is not known."""
        self.teacher = teacher

    def opening_lines(self, run: Run, samples: Samples) -> list[str]:
        """Return what is to be expected of the run."""
        size, teacher = run.settings.imgsz, self.teacher
        left = count_gflops(run.model, size) / count_gflops(teacher, size) if teacher else None
        return outlook(samples, run.total_steps, left)


class WorstPhotos(Hook):
    """Shows at the end of a run what the teacher sees on the val photos and the weights to use do not."""

    def __init__(self, options: FinetuneOptions, teacher: Path) -> None:
        """teacher: its checkpoint."""
        self.options, self.teacher = options, teacher

    def closing_lines(self, run: Run) -> list[str]:
        """Write worst.jpg into the folder of the run; return lines about it."""
        return worst_lines(run.folder.path / WORST, lambda: self.compare(run))

    def compare(self, run: Run) -> Worst:
        """Return the Worst photos. Raises InputError when the teacher knows other classes, or nothing can be read."""
        options, file = self.options, weights_to_use(run)
        teacher, student = (load_checkpoint(each).network for each in (self.teacher, file))
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
