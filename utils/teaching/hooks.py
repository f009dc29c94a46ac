"""Who teaches in a run: the checkpoint that is named, or the one that the weights are known to come from."""

from collections.abc import Callable
from pathlib import Path

from models.cost import count_parameters
from models.yolo import DetectionModel
from utils.data.choice import same_classes
from utils.data.config import label_rules, load_data
from utils.data.unlabelled import scan_unlabelled
from utils.errors import InputError, blaming
from utils.files.checkpoint import Checkpoint, load_checkpoint
from utils.files.downloads import find_weights
from utils.files.paths import find_file
from utils.teaching.distillation import Distillation
from utils.teaching.options import NONE, TAUGHT_BY, TeachingOptions
from utils.teaching.unlabelled import UnlabelledImages
from utils.training.distributed import process_group
from utils.training.loaders import worker_count
from utils.training.loop import Hook


def teaching_hooks(options: TeachingOptions, say: Callable[[str], None] = print) -> list[Hook]:
    """Return the hooks that TeachingOptions ask for, none without a teacher; `say` gets a line about each.

    Raises InputError when the teacher's file or the folder of images is of no use, and for flags that need a teacher
    where there is none.
    """
    found = find_teacher(options, say)
    if found is None:
        if options.needs_teacher:
            raise InputError(
                f"{options.needs_teacher[0]}: only a teacher can judge; none is known, name one with --teacher FILE"
            )
        return []
    file, teacher = found
    why = "" if options.names_teacher else "; --teacher none trains without"
    say(f"teacher: {file}, {count_parameters(teacher):,} parameters{why}")
    gains = options.distill_output, options.distill_feature
    return [
        Distillation(teacher, file, *gains, say, optional=not options.names_teacher),
        *unlabelled_hooks(options, say),
    ]


def unlabelled_hooks(options: TeachingOptions, say: Callable[[str], None]) -> list[Hook]:
    """Return [the hook of --unlabelled], [] without it. Raises InputError."""
    if not options.unlabelled:
        return []
    processes = process_group()
    with blaming("--unlabelled"):
        samples, broken = scan_unlabelled(options.unlabelled, max(worker_count(options, processes), 1), processes.main)
    say(f"unlabelled: {len(samples)} images, {broken} corrupt")
    return [UnlabelledImages(samples, options)]


def find_teacher(options: TeachingOptions, say: Callable[[str], None]) -> tuple[Path, DetectionModel] | None:
    """Return (file, network) of who teaches, or None. Raises InputError for a file that is named and cannot be read."""
    if options.names_teacher:
        with blaming("--teacher"):
            file = find_weights(options.teacher)
            return file, load_checkpoint(file).network
    if options.teacher == NONE or options.classic or not (options.weights or options.resume):
        return None
    if options.resume:  # the run noted who teaches it; what it began with may be gone
        return remembered(load_checkpoint(options.resume), say)
    cfg = find_file(options.cfg, "models", "models/hub", what="model yaml") if options.cfg else None
    start = load_checkpoint(find_weights(options.weights), cfg)
    known = remembered(start, say)
    if known is None and options.starts_taught and knows_the_data(start.network, options):
        return start.path, start.network
    return known


def remembered(start: Checkpoint, say: Callable[[str], None]) -> tuple[Path, DetectionModel] | None:
    """Return (file, network) that a checkpoint says it was taught by or cut from; None when it says or finds none."""
    name = start.network.yaml.get(TAUGHT_BY)
    if not isinstance(name, str):
        return None
    file = Path(name)
    try:
        if not file.is_file():
            raise InputError("is not there")
        return file, load_checkpoint(file).network
    except (InputError, OSError, ValueError) as error:
        say(f"no teacher: {name}, which {start.path.name} comes from: {error}; --teacher FILE names another")
        return None


def knows_the_data(network: DetectionModel, options: TeachingOptions) -> bool:
    """Tell whether a network has the classes of the data, so that it was trained on such images."""
    return same_classes(network.names, load_data(options.data, label_rules(options)).names)
