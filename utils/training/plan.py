"""What is known of a run before any image is read."""

from dataclasses import asdict, dataclass

import torch

from utils.cli.device import select_device
from utils.data.choice import ANY_OBJECT
from utils.data.config import DataConfig, label_rules, load_data
from utils.errors import InputError
from utils.files.hyp import load_hyp
from utils.files.paths import check_project
from utils.training.distributed import ProcessGroup, process_group
from utils.training.logs.choice import check_loggers
from utils.training.options import TrainOptions


@dataclass(frozen=True)
class Plan:
    """What is known of a run before any image is read."""

    options: TrainOptions
    hyp: dict
    config: DataConfig
    processes: ProcessGroup
    device: torch.device
    quiet: bool = False
    goes_on: bool = False  # with a detector of these classes: it keeps its anchors

    @property
    def names(self) -> dict[int, str]:
        """Class index → name, as the model will have it."""
        return ANY_OBJECT if self.options.single_cls and self.config.nc > 1 else self.config.names

    @property
    def validates(self) -> bool:
        """Whether the data has images to validate on."""
        return self.config.val is not None

    @property
    def local_batch(self) -> int:
        """Images in a batch of one process."""
        return self.options.batch_size // self.processes.world_size

    @property
    def amp(self) -> torch.dtype | None:
        """Type of mixed precision, or None."""
        on_gpu = self.device.type == "cuda"
        if self.options.amp == "off" or (self.options.amp == "auto" and not on_gpu):
            return None
        return torch.float16 if on_gpu else torch.bfloat16

    def say(self, line: str) -> None:
        """Print a line, once for all processes."""
        if self.processes.main and not self.quiet:
            print(line, flush=True)


def make_plan(options: TrainOptions, quiet: bool = False) -> Plan:
    """Check options and read the files they name; quiet: say nothing. Raises InputError."""
    options.check()
    check_loggers(options.logger)
    if not options.resume:
        check_project(options.project, options.name)
    processes = process_group()
    device = select_device(options.device, processes.local_rank if processes.distributed else None)
    if options.batch_size > 0 and options.batch_size % processes.world_size:
        raise InputError(
            f"--batch-size {options.batch_size}: must be a multiple of the {processes.world_size} processes"
        )
    if options.batch_size < 0 and processes.distributed:
        raise InputError("--batch-size -1: give a number when training with many processes")
    if options.sync_bn and not (processes.distributed and device.type == "cuda"):
        raise InputError("--sync-bn: needs many processes with a GPU each; start with torchrun")
    hyp = load_hyp(options.hyp) | {"label_smoothing": options.label_smoothing}
    return Plan(options, hyp, load_data(options.data, label_rules(options)), processes, device, quiet)


def stored_options(options: TrainOptions) -> dict:
    """Return options as a plain dict that --resume can read back."""
    return {**asdict(options), "resume": ""}
