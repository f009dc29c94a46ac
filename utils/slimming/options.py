"""The flags of slim.py, which are the keys of its config file too."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from models.activations import parse_activation
from utils.cli.options import check, like, option
from utils.errors import InputError
from utils.finetuning.options import FinetuneOptions
from utils.pruning.choice.limits import Limits
from utils.pruning.flags import CutFlags
from utils.slimming.config import with_config
from utils.training.options import TrainOptions

GOALS = ("flops", "params", "latency_ms", "size_mb")
GUARDS = ("max_drop", "min_map", "stop_loss")
MAP_RULES = ("max_drop", "min_map")  # the guards that rest on mAP
PHASE_EPOCHS = ("sparse_epochs", "finetune_epochs")
REPLACES = {**dict.fromkeys(GOALS, GOALS), "epochs": PHASE_EPOCHS}  # flag → what it replaces in a config file
EPOCHS = 60  # of each training of a step, where nothing else is asked for
LABELS = ("skip_bad_labels", "accept_conf", "check_photos")
# As in train.py, and as in finetune_pruned.py.
TRAINING = (
    "data",
    *LABELS,
    "imgsz",
    "batch_size",
    "activation",
    "optimizer",
    "cache",
    "amp",
    "device",
    "workers",
    "seed",
)
TEACHING = ("teacher", "distill_output", "distill_feature", "unlabelled")
SMALLEST_STEP = 0.02  # share of the FLOPs: what lacks less than that to a goal has met it, as prune.py sees it


@dataclass
class SlimOptions:
    """Options of slim.py: a goal, when to stop, and the few of train.py and prune.py that matter in between."""

    config: str = option("", "file with any of these settings, by path or by name in data/; flags override it")
    weights: list[str] = option(
        ["runs/train/exp/weights/best.pt"], "trained checkpoint to start from; with --sweep one or more", nargs="+"
    )
    data: str = like(TrainOptions, "data")
    skip_bad_labels: bool = like(TrainOptions, "skip_bad_labels")
    accept_conf: bool = like(TrainOptions, "accept_conf")
    check_photos: bool = like(TrainOptions, "check_photos")
    flops: float | None = option(None, "goal: share of the FLOPs that stays", maximum=1)
    params: float | None = option(None, "goal: share of the parameters that stays", maximum=1)
    latency_ms: float | None = option(
        None, "goal: milliseconds an image at --imgsz, measured on this machine's CPU", minimum=0
    )
    runtime: str = like(CutFlags, "runtime")
    size_mb: float | None = option(None, "goal: size of the checkpoint in MB (millions of bytes)", minimum=0)
    max_drop: float | None = option(
        None,
        "mAP50-95 that may be lost against the start; without another goal: as small as that allows",
        minimum=0,
        below=1,
    )
    min_map: float | None = option(None, "mAP50-95 that every step must keep", minimum=0, maximum=1)
    stop_loss: float | None = option(
        None, "validation loss (box + objectness + class) that no step may exceed", minimum=0
    )
    steps: int | None = option(None, "most steps to keep", minimum=1)
    hours: float | None = option(None, "most hours to take, all runs of the command together", minimum=0)
    share: float = option(
        0.5,
        "share of the current FLOPs (with --latency-ms: of the time) that a step removes",
        minimum=SMALLEST_STEP,
        below=1,
    )
    retries: int = option(2, "how often a step that breaks a rule is tried again, with half the share", minimum=0)
    epochs: int | None = option(
        None, f"epochs of sparse training and of fine-tuning in a step, each; {EPOCHS} if not given", minimum=1
    )
    sparse_epochs: int | None = option(
        None, "epochs of sparse training in a step, if not --epochs; 0: cut by --criterion at once", minimum=0
    )
    finetune_epochs: int | None = option(None, "epochs of fine-tuning in a step, if not --epochs", minimum=1)
    teacher: str = option("", "checkpoint that teaches; the one that the run started with if not given")
    distill_output: float = like(FinetuneOptions, "distill_output")
    distill_feature: float = like(FinetuneOptions, "distill_feature")
    unlabelled: str = like(FinetuneOptions, "unlabelled")
    no_distill: bool = option(False, "train without a teacher")
    hyp: str = like(TrainOptions, "hyp")
    lr0: float | None = option(
        None,
        "first learning rate, instead of that in --hyp; of SGD if no --optimizer is given",
        minimum=1e-12,
        maximum=1e3,
    )
    criterion: str = like(CutFlags, "criterion")
    compensate: str = like(CutFlags, "compensate")
    calib: int = like(CutFlags, "calib")
    min_channels: int = like(CutFlags, "min_channels")
    max_layer_share: float = like(CutFlags, "max_layer_share", default=Limits.max_share)
    round: int = like(CutFlags, "round")
    std_guard: float | None = like(CutFlags, "std_guard")
    imgsz: int = like(TrainOptions, "imgsz")
    batch_size: int = like(TrainOptions, "batch_size")
    activation: str = like(TrainOptions, "activation")
    optimizer: str = like(TrainOptions, "optimizer", default="auto")
    cache: str | None = like(TrainOptions, "cache")
    amp: str = like(TrainOptions, "amp")
    device: str = like(TrainOptions, "device")
    workers: int = like(TrainOptions, "workers")
    seed: int = like(TrainOptions, "seed")
    sweep: bool = option(False, "try every one of --weights with every one of --shares and compare")
    shares: list[float] = option(
        [0.3, 0.5, 0.7], "with --sweep: shares of the FLOPs to remove", nargs="+", minimum=SMALLEST_STEP, below=1
    )
    out: str = option("", "file to write the result to, besides slim.pt in the folder of the run")
    project: str = option("runs/slim", "folder of the runs")
    name: str = option("exp", "folder of this run; one that is unfinished is continued")

    def __post_init__(self):
        """Give both phases of a step their epochs; a learning rate that is given is of a definite optimizer."""
        if self.lr0 is not None and self.optimizer == "auto":
            self.optimizer = "SGD"
        usual = EPOCHS if self.epochs is None else self.epochs
        self.sparse_epochs = usual if self.sparse_epochs is None else self.sparse_epochs
        self.finetune_epochs = usual if self.finetune_epochs is None else self.finetune_epochs

    @classmethod
    def from_given(cls, *, say: Callable[[str], object] = print, **given: Any) -> "SlimOptions":
        """Return the options that the given ones and the config file among them mean; `say` as for with_config."""
        return with_config(cls, given, REPLACES, say)

    def check(self) -> None:
        """Raise InputError or SpecError for values that are wrong alone or exclude each other."""
        check(self)
        goals = [name for name in GOALS if getattr(self, name) is not None]
        if len(goals) > 1:
            raise InputError(f"{flags(goals)}: exclude each other; give one, and --max-drop to guard the mAP")
        for name in GOALS:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{flags([name])} {value:g}: must be above 0")
        if self.activation:
            parse_activation(self.activation, "--activation")
        if self.batch_size == 0:
            raise InputError("--batch-size 0: must be at least 1, or -1 for what fits")
        if self.sparse_epochs and (self.criterion, self.compensate) != (CutFlags.criterion, CutFlags.compensate):
            raise InputError(
                "--criterion and --compensate have no effect after sparse training, which chooses the channels and "
                "brings them to zero; leave them out, or give --sparse-epochs 0"
            )
        if self.no_distill and (self.teacher or self.unlabelled):
            raise InputError("--no-distill: there is no teacher; leave out --teacher and --unlabelled")
        if self.runtime != CutFlags.runtime and self.latency_ms is None:
            raise InputError(f"--runtime {self.runtime}: has no effect without --latency-ms")
        if self.sweep:
            self.check_sweep(goals)
        else:
            self.check_single(goals)

    def check_single(self, goals: list[str]) -> None:
        """Raise InputError for what one run cannot do. goals: names of those given."""
        if len(self.weights) != 1:
            raise InputError(
                f"--weights {' '.join(self.weights)}: {len(self.weights)} files; give one, or --sweep to try all"
            )
        ends = [*GUARDS, "steps", "hours"]
        if not goals and all(getattr(self, name) is None for name in ends):
            raise InputError(f"no goal: give one of {flags(GOALS, ', ')}, or how far to go: {flags(ends, ', ')}")

    def check_sweep(self, goals: list[str]) -> None:
        """Raise InputError for what a sweep cannot do. goals: names of those given."""
        other = [name for name in goals if name != "latency_ms"]
        if other:
            raise InputError(f"{flags(other)}: --shares are the goals of a --sweep; leave it out")
        if len(set(self.shares)) < len(self.shares) or len(set(self.weights)) < len(self.weights):
            raise InputError("--weights and --shares of a --sweep: each value once")
        if self.out:
            raise InputError(f"--out {self.out}: a --sweep has many results; they stay in the folder of the run")

    @property
    def limits(self) -> Limits:
        """Limits of the selection, without the guard, which sparse training sees to in its own way."""
        return Limits(self.min_channels, self.max_layer_share, self.round)

    def settings(self) -> dict[str, Any]:
        """Return {key: plain value} of everything that a run depends on; `epochs` is in those of the phases."""
        return {key: value for key, value in asdict(self).items() if key not in ("config", "epochs")}

    def goal_words(self) -> str:
        """Return what is to be reached, and what must be kept, in words."""
        words = {
            "flops": "FLOPs {:g}",
            "params": "parameters {:g}",
            "latency_ms": "{:g} ms an image",
            "size_mb": "{:g} MB",
            "max_drop": "mAP50-95 at most {:g} lower",
            "min_map": "mAP50-95 at least {:g}",
            "stop_loss": "validation loss at most {:g}",
            "steps": "most steps: {:d}",
            "hours": "most hours: {:g}",
        }
        given = [text.format(getattr(self, name)) for name, text in words.items() if getattr(self, name) is not None]
        if self.latency_ms is not None:
            given[0] += f" in {self.runtime}"
        smallest = [] if any(getattr(self, name) is not None for name in GOALS) else ["as small as can be"]
        return ", ".join(smallest + given)


def flags(names: Iterable[str], joint: str = " and ") -> str:
    """Return option names as flags: "--max-drop and --steps"."""
    return joint.join("--" + name.replace("_", "-") for name in names)
